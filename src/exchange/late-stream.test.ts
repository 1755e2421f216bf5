import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Fields } from './fields.ts';
import { LateStream } from './late-stream.ts';
import type { UpstreamStream } from './streams.ts';

class Late extends LateStream {
  drops = 0;

  begin(stream: UpstreamStream): boolean {
    return this.passTo(stream);
  }

  protected override dropped(): void {
    this.drops++;
  }
}

/** A stream that notes what it is told. */
class Told implements UpstreamStream {
  connected = true;
  takes = true;
  readonly calls: string[] = [];

  writeBody(bytes: Buffer, start: number, end: number): boolean {
    this.calls.push(bytes.toString('latin1', start, end));
    return this.takes;
  }
  endBody(trailers: Fields | undefined): void {
    this.calls.push(`end${trailers === undefined ? '' : ` ${trailers.serialize().trim()}`}`);
  }
  pauseResponse(): void {
    this.calls.push('pause');
  }
  resumeResponse(): void {
    this.calls.push('resume');
  }
  cancel(): void {
    this.calls.push('cancel');
  }
}

function write(stream: UpstreamStream, text: string): boolean {
  return stream.writeBody(Buffer.from(`(${text})`), 1, 1 + text.length, false);
}

describe('a try whose stream comes late', () => {
  it('keeps what it is told, in order, and passes it on', () => {
    const late = new Late();
    const bytes = Buffer.from('hello');
    assert.deepEqual([late.connected, late.writeBody(bytes, 0, 5, false)], [false, false]);
    bytes.fill('!');
    assert.equal(write(late, ' you'), false);
    assert.equal(write(late, ''), true);
    late.pauseResponse();
    late.endBody(Fields.of([['X-Sum', '1']]));
    const told = new Told();
    assert.equal(late.begin(told), false);
    assert.deepEqual([told.calls, late.connected], [['pause', 'hello you', 'end X-Sum: 1'], true]);
  });

  it('passes on what comes afterwards', () => {
    const late = new Late();
    late.pauseResponse();
    late.resumeResponse();
    const told = new Told();
    late.begin(told);
    told.takes = false;
    assert.equal(write(late, 'x'), false);
    late.endBody(undefined);
    late.pauseResponse();
    late.resumeResponse();
    late.cancel();
    assert.deepEqual([told.calls, late.drops], [['x', 'end', 'pause', 'resume', 'cancel'], 0]);
  });

  it('says whether the handler is to be told that it can write', () => {
    const cases = [
      { connected: true, takes: true, text: '', wanted: true },
      { connected: true, takes: true, text: 'x', wanted: true },
      // The stream tells it.
      { connected: true, takes: false, text: 'x', wanted: false },
      { connected: false, takes: true, text: '', wanted: false },
    ];
    for (const { connected, takes, text, wanted } of cases) {
      const late = new Late();
      if (text !== '') write(late, text);
      assert.equal(late.begin(Object.assign(new Told(), { connected, takes })), wanted);
    }
  });

  it('is dropped without a stream', () => {
    const late = new Late();
    write(late, 'x');
    late.cancel();
    assert.equal(late.drops, 1);
  });
});
