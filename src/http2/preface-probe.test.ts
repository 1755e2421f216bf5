import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { Deadlines, type Timed } from '../exchange/deadlines.ts';
import { MemoryConnection, settled } from '../http1/memory-wire.fixture.ts';
import type { ConnectionHandler } from '../wire/wire.ts';
import { PREFACE } from './frames.ts';
import { PrefaceProbe } from './preface-probe.ts';

/** An engine that notes what it is told. */
class Engine implements ConnectionHandler, Timed {
  deadline = Number.POSITIVE_INFINITY;
  deadlineIndex = -1;
  text = '';
  readonly events: string[] = [];
  onData(bytes: Buffer, start: number, end: number): void {
    this.text += bytes.toString('latin1', start, end);
  }
  onEnd(): void {
    this.events.push('end');
  }
  onDrain(): void {}
  onClose(): void {
    this.events.push('close');
  }
  onDeadline(): void {
    this.events.push('deadline');
  }
}

function probed() {
  const connection = new MemoryConnection();
  const deadlines = new Deadlines(1_000_000);
  const engine = new Engine();
  const found = { connection, deadlines, engine, isHttp2: undefined as boolean | undefined, closed: 0, probe: undefined as PrefaceProbe | undefined };
  const choose = (isHttp2: boolean): Engine => {
    found.isHttp2 = isHttp2;
    connection.handler = engine;
    return engine;
  };
  found.probe = new PrefaceProbe(connection, deadlines, 10_000, choose, () => found.closed++);
  return found;
}

/** What is sent, and in which pieces. */
function sent(text: string, cuts: readonly number[]) {
  const found = probed();
  let from = 0;
  for (const cut of [...cuts.filter((at) => at < text.length).sort((a, b) => a - b), text.length]) {
    if (cut > from) found.connection.send(text.slice(from, cut));
    from = Math.max(from, cut);
  }
  return found;
}

describe('telling HTTP/2 by prior knowledge from HTTP/1', () => {
  it('goes by the first bytes, whatever their pieces, and loses none', () => {
    const beginnings = fc.oneof(
      fc.constantFrom(PREFACE, 'GET / HTTP/1.1\r\n\r\n', 'POST / HTTP/1.1\r\n\r\n', 'PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n', 'P', 'PROPFIND / HTTP/1.1\r\n'),
      fc.tuple(fc.nat(PREFACE.length), fc.string({ maxLength: 5 })).map(([length, rest]) => PREFACE.slice(0, length) + rest.replace(/[^\x20-\x7e]/g, '?')),
    );
    fc.assert(
      fc.property(beginnings, fc.array(fc.nat(30)), (text, cuts) => {
        const { isHttp2, engine } = sent(text, cuts);
        if (text.startsWith(PREFACE)) assert.equal(isHttp2, true);
        else if (PREFACE.startsWith(text)) assert.equal(isHttp2, undefined);
        else assert.equal(isHttp2, false);
        assert.equal(engine.text, isHttp2 === undefined ? '' : text);
      }),
    );
  });

  it('gives what is not decided in time to HTTP/1, whose time is up with it', () => {
    const { deadlines, engine, isHttp2: before, ...found } = sent('POS', []);
    assert.equal(before, false, 'the third byte tells');
    const partial = sent('PR', []);
    partial.deadlines.sweep(partial.deadlines.now + 11_000);
    assert.deepEqual([partial.isHttp2, partial.engine.text, partial.engine.events], [false, 'PR', ['deadline']]);
    deadlines.sweep(deadlines.now + 11_000);
    assert.deepEqual([engine.events, found.closed], [[], 0], 'the deadline is the engine’s from then on');
  });

  it('gives what ends undecided to HTTP/1', () => {
    const found = sent('PRI *', []);
    found.connection.sendEnd();
    assert.deepEqual([found.isHttp2, found.engine.text, found.engine.events], [false, 'PRI *', ['end']]);
  });

  it('closes a connection that says nothing, in time, at its end and when the listener closes', async () => {
    const silent = probed();
    silent.deadlines.sweep(silent.deadlines.now + 11_000);
    const ended = probed();
    ended.connection.sendEnd();
    const drained = probed();
    assert.equal(drained.probe?.idle, true);
    drained.probe?.closeIfIdle();
    await settled();
    for (const { connection, isHttp2, closed } of [silent, ended, drained]) assert.deepEqual([connection.finished, isHttp2, closed], [true, undefined, 1]);
  });
});
