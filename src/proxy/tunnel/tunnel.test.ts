/** How a tunnel ends, step by step, between a client and a backend that only remember what they were told. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Deadlines } from '../../exchange/deadlines.ts';
import type { ClientStream, UpstreamStream } from '../../exchange/streams.ts';
import { Tunnel, type TunnelLimits } from './tunnel.ts';
import { Tunnels } from './tunnels.ts';

const CLOSE_OF_SERVER = '\x88\x02\x03\xe9';
/** With a mask of zeros. */
const CLOSE_OF_CLIENT = '\x88\x82\0\0\0\0\x03\xe9';

/** What one side was told. */
class Side {
  got = '';
  ended = false;
  aborted = false;
  paused = false;
  takes = true;

  writeBody(bytes: Buffer, start: number, end: number): boolean {
    assert.ok(!this.ended, 'a write behind the end');
    this.got += bytes.toString('latin1', start, end);
    return this.takes;
  }
  endBody(): void {
    this.ended = true;
  }
  abort(): void {
    this.aborted = true;
  }
  cancel(): void {
    this.aborted = true;
  }
  pauseRequestBody(): void {
    this.paused = true;
  }
  resumeRequestBody(): void {
    this.paused = false;
  }
  pauseResponse(): void {
    this.paused = true;
  }
  resumeResponse(): void {
    this.paused = false;
  }
}

function bench(limits: Partial<TunnelLimits> = {}) {
  const deadlines = new Deadlines(1_000_000);
  deadlines.sweep(1000);
  const client = new Side();
  const backend = new Side();
  const over: string[] = [];
  const owner = {
    requestBytes: 0,
    responseBytes: 0,
    onTunnelOver: (_tunnel: Tunnel, reason: string, failed: boolean) => over.push(`${reason}${failed ? ' failed' : ''}`),
  };
  const tunnel = new Tunnel(client as unknown as ClientStream, backend as unknown as UpstreamStream, owner, deadlines, {
    idle: 60_000,
    until: Number.POSITIVE_INFINITY,
    ...limits,
  });
  const say = (text: string) => {
    const bytes = Buffer.from(text, 'latin1');
    tunnel.onClientData(bytes, 0, bytes.length, true);
  };
  const answer = (text: string) => {
    const bytes = Buffer.from(text, 'latin1');
    tunnel.onBackendData(bytes, 0, bytes.length, true);
  };
  const pass = (milliseconds: number) => deadlines.sweep(deadlines.now + milliseconds);
  return { tunnel, client, backend, over, owner, deadlines, say, answer, pass };
}

describe('tunnel', () => {
  it('counts and passes bytes, holds back the faster side, and is over when both have ended', () => {
    const { tunnel, client, backend, over, owner, deadlines, say, answer } = bench();
    backend.takes = false;
    say('abc');
    assert.deepEqual([backend.got, client.paused], ['abc', true]);
    tunnel.onBackendWritable();
    assert.equal(client.paused, false);
    client.takes = false;
    answer('de');
    assert.deepEqual([client.got, backend.paused], ['de', true]);
    tunnel.onClientWritable();
    assert.equal(backend.paused, false);
    tunnel.onClientEnd();
    assert.deepEqual([backend.ended, client.ended, over], [true, false, []]);
    answer('f');
    tunnel.onBackendEnd();
    assert.deepEqual([client.got, client.ended, over, owner.requestBytes, owner.responseBytes, deadlines.size], ['def', true, [''], 3, 3, 0]);
    tunnel.close('late');
    tunnel.stop('late');
    tunnel.onClientGone();
    tunnel.onBackendLost();
    assert.deepEqual([over, client.aborted, backend.aborted], [[''], false, false]);
  });

  it('resets one side when the other breaks', () => {
    const one = bench();
    one.tunnel.onClientGone();
    assert.deepEqual([one.backend.aborted, one.over], [true, ['client_gone']]);
    const two = bench();
    two.tunnel.onBackendLost();
    assert.deepEqual([two.client.aborted, two.over], [true, ['upstream_reset failed']]);
  });

  it('ends on silence of both sides, and not on that of one', () => {
    const { over, client, say, answer, pass } = bench({ idle: 1_000 });
    for (let round = 0; round < 5; round++) {
      pass(900);
      if (round % 2 === 0) say('\x89\x80\0\0\0\0');
      else answer('\x8a\0');
    }
    assert.equal(client.got.includes(CLOSE_OF_SERVER), false);
    pass(999);
    assert.equal(client.got.includes(CLOSE_OF_SERVER), false);
    pass(1);
    assert.equal(client.got.endsWith(CLOSE_OF_SERVER), true);
    pass(3_000);
    pass(2_000);
    assert.deepEqual(over, ['idle_timeout']);
  });

  it('ends when its life is over, however lively it is', () => {
    const { client, over, say, tunnel, pass } = bench({ until: 3_000 });
    pass(1_900);
    say('\x89\x80\0\0\0\0');
    pass(100);
    assert.equal(client.got, CLOSE_OF_SERVER);
    say(CLOSE_OF_CLIENT);
    assert.equal(client.ended, true);
    tunnel.onClientEnd();
    tunnel.onBackendEnd();
    assert.deepEqual(over, ['request_timeout']);
  });
});

describe('tunnel that the gateway closes', () => {
  it('tells the client between two frames, passes on what it still says, and ends behind its Close', () => {
    const { tunnel, client, backend, over, say, answer } = bench();
    answer('\x82\x05ab');
    tunnel.close('drain');
    assert.equal(client.got, '\x82\x05ab');
    answer('c');
    answer('de\x82\x01x');
    assert.equal(client.got, `\x82\x05abcde${CLOSE_OF_SERVER}`);
    answer('\x82\x01y');
    say('\x82\x81\0\0\0\0m');
    say(CLOSE_OF_CLIENT.slice(0, 7));
    assert.deepEqual([client.ended, backend.ended], [false, false]);
    say(CLOSE_OF_CLIENT.slice(7));
    assert.deepEqual([client.ended, backend.got], [true, `\x82\x81\0\0\0\0m${CLOSE_OF_CLIENT}`]);
    tunnel.onClientEnd();
    assert.deepEqual([backend.ended, over], [true, []]);
    tunnel.onBackendEnd();
    assert.deepEqual([over, client.got, client.aborted, backend.aborted], [['drain'], `\x82\x05abcde${CLOSE_OF_SERVER}`, false, false]);
  });

  it('adds no Close of its own behind one of the backend', () => {
    const { tunnel, client, say, answer } = bench();
    answer('\x88\x02\x03\xe8');
    tunnel.close('drain');
    say(CLOSE_OF_CLIENT);
    assert.deepEqual([client.got, client.ended], ['\x88\x02\x03\xe8', true]);
  });

  it('ends at once where the client has said its Close before', () => {
    const { tunnel, client, say } = bench();
    say(CLOSE_OF_CLIENT);
    tunnel.close('drain');
    assert.deepEqual([client.got, client.ended], [CLOSE_OF_SERVER, true]);
  });

  it('tells the backend by itself where the client does not answer, and cuts after that', () => {
    const { tunnel, client, backend, over, say, answer, pass } = bench();
    tunnel.close('drain');
    pass(2_999);
    assert.deepEqual([client.ended, backend.got], [false, '']);
    pass(1);
    assert.deepEqual([client.ended, backend.ended, backend.got.length, backend.got.slice(0, 2)], [true, true, 8, '\x88\x82']);
    say('late');
    answer('late');
    assert.deepEqual([backend.got.length, client.got], [8, CLOSE_OF_SERVER]);
    pass(2_000);
    assert.deepEqual([over, client.aborted, backend.aborted], [['drain'], true, true]);
  });

  it('writes no Close into a frame of the client', () => {
    const { tunnel, backend, say, pass } = bench();
    say('\x82\x85\0\0\0\0ab');
    tunnel.close('drain');
    pass(3_000);
    assert.deepEqual([backend.got, backend.ended], ['\x82\x85\0\0\0\0ab', true]);
  });

  it('cuts where a frame of the backend does not end', () => {
    const { tunnel, client, backend, over, answer, pass } = bench();
    answer('\x82\x05ab');
    tunnel.close('drain');
    pass(3_000);
    assert.deepEqual([over, client.aborted, backend.aborted, client.got], [['drain'], true, true, '\x82\x05ab']);
  });

  it('ends well for a client that was told, though the backend breaks meanwhile', () => {
    const { tunnel, client, over } = bench();
    tunnel.close('drain');
    tunnel.onBackendLost();
    assert.deepEqual([client.ended, client.aborted, over], [true, false, []]);
    tunnel.onClientEnd();
    assert.deepEqual(over, ['drain']);
  });

  it('cuts a tunnel of which one side has ended already', () => {
    for (const end of ['onClientEnd', 'onBackendEnd'] as const) {
      const { tunnel, client, backend, over } = bench();
      tunnel[end]();
      tunnel.close('drain');
      assert.deepEqual([over, client.aborted, backend.aborted], [['drain'], true, true]);
    }
  });
});

describe('tunnels of a worker', () => {
  it('are closed with those that still begin, and waited for', async () => {
    const tunnels = new Tunnels();
    const { tunnel, client } = bench();
    tunnels.add(tunnel);
    let closed = false;
    const closing = tunnels.close().then(() => {
      closed = true;
    });
    assert.equal(client.got, CLOSE_OF_SERVER);
    const later = bench();
    tunnels.add(later.tunnel);
    assert.equal(later.client.got, CLOSE_OF_SERVER);
    tunnels.remove(tunnel);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(closed, false);
    assert.equal(tunnels.stop('drain_timeout'), 1);
    assert.deepEqual(later.over, ['drain']);
    tunnels.remove(later.tunnel);
    await closing;
    await new Tunnels().close();
  });
});
