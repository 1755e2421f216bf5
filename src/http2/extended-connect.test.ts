/** Extended CONNECT to backends (RFC 8441), as the handler and the backend see it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { UNKNOWN_LENGTH, type UpstreamStream } from '../exchange/streams.ts';
import { Answer } from '../http1/answer.fixture.ts';
import { settled } from '../http1/memory-wire.fixture.ts';
import { clientBench, KEY } from './client.fixture.ts';
import { ErrorCode, goAwayFrame, rstStreamFrame, Setting, windowUpdateFrame } from './frames.ts';
import type { Pair } from './hpack/hpack.fixture.ts';

/** The answer to KEY. */
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';
const OK: readonly Pair[] = [[':status', '200']];
const CANCEL = ErrorCode.Cancel;

type Bench = ReturnType<typeof clientBench>;

const CONNECT = ':method=CONNECT :scheme=http :path=/chat :authority=a :protocol=websocket sec-websocket-version=13 sec-websocket-protocol=chat';

/** A connection whose backend takes tunnels. */
async function bench(...settings: readonly number[]): Promise<Bench> {
  const made = clientBench(true, false);
  made.backend.settings(Setting.EnableConnectProtocol, 1, ...settings);
  await settled();
  made.backend.lines();
  return made;
}

/** A tunnel on stream 1. */
async function open(...settings: readonly number[]) {
  const made = await bench(...settings);
  const asked = made.ask();
  made.backend.send(made.backend.head(1, OK));
  await settled();
  made.backend.lines();
  return { ...made, ...asked };
}

function write(stream: UpstreamStream, text: string): boolean {
  return stream.writeBody(Buffer.from(text), 0, text.length, false);
}

describe('extended CONNECT to backends', () => {
  it('asks without a key, and makes a 101 of a success', async () => {
    const made = await bench();
    const { answer, fields } = made.ask();
    await settled();
    const [line] = made.backend.lines();
    assert.equal(line, `Headers 1 ${CONNECT}`);
    assert.ok(fields.get('sec-websocket-key') === KEY, 'for another try, it is still there');
    // Content-Length says nothing in a success (RFC 9110 section 9.3.6).
    const head: Pair[] = [
      [':status', '200'],
      ['sec-websocket-protocol', 'chat'],
      ['content-length', '3'],
    ];
    made.backend.send(made.backend.head(1, head) + made.backend.data(1, 'hello'));
    await settled();
    assert.deepEqual([answer.status, answer.length, answer.body, answer.ended], [101, UNKNOWN_LENGTH, 'hello', false]);
    assert.equal(answer.fields, `sec-websocket-protocol: chat\r\nSec-WebSocket-Accept: ${ACCEPT}\r\n`);
    assert.equal(answer.writable, 0);
  });

  it('takes every success for one that can have content, and nothing else', async () => {
    for (const status of ['201', '205', '299']) {
      const made = await bench();
      const { answer } = made.ask();
      made.backend.send(made.backend.head(1, [[':status', status]]), made.backend.data(1, 'x'));
      await settled();
      assert.deepEqual([answer.status, answer.body], [101, 'x']);
    }
    const none = await bench();
    const { answer: malformed } = none.ask();
    none.backend.send(none.backend.head(1, [[':status', '204']]));
    await settled();
    assert.deepEqual([malformed.failure, none.counts.reusable], ['malformed', 1]);
    for (const status of ['300', '404', '503']) {
      const made = await bench();
      const { answer } = made.ask();
      made.backend.lines();
      made.backend.send(
        made.backend.head(1, [
          [':status', status],
          ['content-length', '2'],
        ]),
        made.backend.data(1, 'no', true),
      );
      await settled();
      assert.deepEqual([answer.status, answer.body, answer.ended, answer.fields], [Number(status), 'no', true, '']);
      assert.deepEqual([made.backend.lines().at(-1), made.counts.reusable], [`RstStream 1 ${CANCEL}`, 1]);
    }
  });

  it('carries bytes both ways, beside other requests', async () => {
    const { backend, stream, answer, send } = await open();
    const other = send();
    assert.equal(write(stream, 'ping'), true);
    await settled();
    assert.deepEqual(backend.lines(), ['Headers 3 :method=GET :scheme=http :path=/x :authority=a te=trailers END', 'Data 1 ping']);
    backend.send(backend.data(1, 'pong'), backend.ok(3, 'ok'), backend.data(1, '!'));
    await settled();
    assert.deepEqual([answer.body, answer.ended, other.answer.body, other.answer.ended], ['pong!', false, 'ok', true]);
  });

  it('ends each direction by itself, and the stream with the second', async () => {
    for (const first of ['client', 'backend']) {
      const { backend, stream, answer, counts } = await open();
      if (first === 'client') stream.endBody(undefined);
      else backend.send(backend.data(1, 'bye', true));
      await settled();
      assert.deepEqual([backend.lines(), answer.ended, counts.reusable], [first === 'client' ? ['Data 1  END'] : [], first === 'backend', 0]);
      if (first === 'client') {
        backend.send(backend.data(1, 'still '), backend.data(1, 'here', true));
      } else {
        assert.equal(write(stream, 'still here'), true);
        stream.endBody(undefined);
      }
      await settled();
      assert.deepEqual([answer.body, answer.ended, answer.failure, counts.reusable], [first === 'client' ? 'still here' : 'bye', true, '', 1]);
      assert.deepEqual(backend.lines(), first === 'client' ? [] : ['Data 1 still here', 'Data 1  END']);
    }
  });

  it('may be ended from within the calls that tell of it', async () => {
    for (const [body, end] of [
      ['', true],
      ['x', true],
      ['x', false],
    ] as const) {
      const made = await bench();
      const { answer, stream } = made.ask();
      made.backend.lines();
      answer.onBytes = () => void write(stream, answer.body);
      answer.onEnded = () => stream.endBody(undefined);
      made.backend.send(
        made.backend.head(1, OK, body === ''),
        ...(body === '' ? [] : [made.backend.data(1, body, end)]),
        ...(end ? [] : [made.backend.data(1, '', true)]),
      );
      await settled();
      assert.deepEqual([answer.body, answer.ended, answer.failure, made.counts.reusable], [body, true, '', 1]);
      assert.equal(made.backend.lines().at(-1), 'Data 1  END');
    }
  });

  it('may end with its first byte, or its head', async () => {
    for (const body of ['', 'x']) {
      const made = await bench();
      const { answer, stream } = made.ask();
      made.backend.lines();
      made.backend.send(body === '' ? made.backend.head(1, OK, true) : made.backend.head(1, OK) + made.backend.data(1, body, true));
      await settled();
      assert.deepEqual([answer.status, answer.whole, answer.body, answer.ended, made.counts.reusable], [101, false, body, true, 0]);
      stream.endBody(undefined);
      await settled();
      assert.deepEqual([made.backend.lines().slice(-1), made.counts.reusable], [['Data 1  END'], 1]);
    }
  });

  it('holds back what its handler does not take, and the end behind it', async () => {
    const { backend, stream, answer, counts } = await open();
    stream.pauseResponse();
    backend.send(backend.data(1, 'abc'), backend.data(1, 'def', true));
    await settled();
    assert.deepEqual([answer.body, answer.ended], ['', false]);
    assert.equal(write(stream, 'meanwhile'), true);
    stream.resumeResponse();
    await settled();
    assert.deepEqual([answer.body, answer.ended, counts.reusable], ['abcdef', true, 0]);
    stream.endBody(undefined);
    await settled();
    assert.deepEqual([backend.lines(), counts.reusable], [['Data 1 meanwhile', 'Data 1  END'], 1]);
  });

  it('sends what the windows take, up to the end', async () => {
    const { backend, stream, answer, counts } = await open(Setting.InitialWindowSize, 5);
    assert.equal(write(stream, 'hello world'), false);
    backend.send(backend.data(1, '', true));
    await settled();
    assert.deepEqual([backend.lines(), answer.ended], [['Data 1 hello'], true]);
    backend.send(windowUpdateFrame(1, 100));
    await settled();
    assert.deepEqual([backend.lines(), answer.writable], [['Data 1  world'], 1]);
    stream.endBody(undefined);
    await settled();
    assert.deepEqual([backend.lines(), counts.reusable], [['Data 1  END'], 1]);
  });

  it('breaks as a reset, both ways', async () => {
    const cancelled = await open();
    cancelled.stream.cancel();
    await settled();
    assert.deepEqual([cancelled.backend.lines(), cancelled.counts.reusable], [[`RstStream 1 ${CANCEL}`], 1]);
    for (const code of [ErrorCode.Cancel, ErrorCode.NoError]) {
      const reset = await open();
      reset.backend.send(rstStreamFrame(1, code));
      await settled();
      assert.deepEqual([reset.answer.failure, reset.counts.reusable], ['reset', 1]);
    }
    const lost = await open();
    lost.connection.sendEnd();
    await settled();
    assert.equal(lost.answer.failure, 'reset');
  });

  it('may be quiet for long, and then be left, without the connection being taken for dead', async () => {
    const made = await open();
    const { client, counts, deadlines, stream } = made;
    const other = made.ask();
    made.backend.send(made.backend.head(3, OK));
    await settled();
    deadlines.sweep(deadlines.now + 2_000);
    stream.cancel();
    await settled();
    assert.deepEqual([made.backend.lines().at(-1), counts.retired, client.hasRoom, other.answer.failure], [`RstStream 1 ${CANCEL}`, 0, true, '']);
  });

  it('goes on for the client where the backend has ended, and then says that it reads no more', async () => {
    const { backend, stream, answer, counts } = await open(Setting.InitialWindowSize, 3);
    assert.equal(write(stream, 'hello'), false);
    backend.send(backend.data(1, 'bye', true), rstStreamFrame(1, ErrorCode.NoError));
    await settled();
    assert.deepEqual([answer.body, answer.ended, answer.failure, answer.writable, counts.reusable], ['bye', true, '', 1, 1]);
    assert.equal(write(stream, 'nobody hears this'), true);
    stream.endBody(undefined);
    stream.cancel();
    await settled();
    assert.deepEqual(backend.lines(), ['Data 1 hel']);
  });

  it('ends in order where the backend has ended it, and then closes the connection', async () => {
    for (const how of ['end', 'break'] as const) {
      const { backend, connection, stream, answer, counts } = await open();
      stream.pauseResponse();
      backend.send(backend.data(1, 'abc'), backend.data(1, 'def', true));
      await settled();
      if (how === 'end') connection.sendEnd();
      else connection.break();
      await settled();
      assert.deepEqual([answer.body, answer.ended, answer.failure, counts.gone], ['', false, '', 1]);
      stream.resumeResponse();
      await settled();
      assert.deepEqual([answer.body, answer.ended, answer.failure], ['abcdef', true, '']);
      assert.equal(write(stream, 'nobody hears this'), true);
      stream.endBody(undefined);
    }
    const told = await open(Setting.InitialWindowSize, 3);
    assert.equal(write(told.stream, 'hello'), false);
    told.backend.send(told.backend.data(1, 'bye', true));
    told.connection.sendEnd();
    await settled();
    assert.deepEqual([told.answer.body, told.answer.ended, told.answer.failure, told.answer.writable, told.counts.gone], ['bye', true, '', 1, 1]);
  });

  it('is cut where the connection breaks a rule, even if the backend has ended it', async () => {
    const { backend, stream, answer } = await open();
    stream.pauseResponse();
    backend.send(backend.data(1, 'abc', true), windowUpdateFrame(0, 0));
    await settled();
    stream.resumeResponse();
    await settled();
    assert.deepEqual([answer.body, answer.ended, answer.failure], ['', false, 'malformed']);
  });

  it('has no header sections within', async () => {
    for (const end of [false, true]) {
      const { backend, answer } = await open();
      backend.send(backend.head(1, [['x-a', '1']], end));
      await settled();
      assert.deepEqual([answer.failure, backend.lines()], ['malformed', [`RstStream 1 ${ErrorCode.ProtocolError}`]]);
    }
  });

  it('goes on while the backend leaves, which takes no others', async () => {
    const { backend, stream, answer, counts } = await open();
    backend.send(goAwayFrame(1, ErrorCode.NoError));
    write(stream, 'still');
    await settled();
    assert.deepEqual([backend.lines(), counts.retired, answer.failure], [['Data 1 still'], 1, '']);
    backend.send(backend.data(1, 'here', true));
    stream.endBody(undefined);
    await settled();
    assert.deepEqual([answer.body, answer.ended, counts.gone], ['here', true, 1]);
  });
});

describe('extended CONNECT before the backend has said that it takes it', () => {
  it('waits for its SETTINGS', async () => {
    const made = clientBench(true, false);
    assert.equal(made.client.takesTunnels, undefined);
    const { answer, stream } = made.ask();
    const behind = made.send();
    await settled();
    assert.deepEqual([made.backend.lines(), stream.connected], [['Settings 0', 'WindowUpdate 0 983041'], false]);
    made.backend.settings(Setting.EnableConnectProtocol, 1);
    await settled();
    assert.deepEqual(made.backend.lines(), [
      'Settings 0 ack',
      `Headers 1 ${CONNECT}`,
      'Headers 3 :method=GET :scheme=http :path=/x :authority=a te=trailers END',
    ]);
    made.backend.send(made.backend.head(1, OK), made.backend.ok(3, 'ok'));
    await settled();
    assert.deepEqual([made.client.takesTunnels, stream.connected, answer.status, behind.answer.body], [true, true, 101, 'ok']);
  });

  it('goes elsewhere where it does not, and is what it was', async () => {
    const made = clientBench(true, false);
    const { answer, stream, fields } = made.ask();
    const other = new Answer();
    const calls: string[] = [];
    const call = (name: string) => () => {
      calls.push(name);
      return true;
    };
    made.elsewhere.stream = {
      ...{ connected: true, writeBody: call('write'), endBody: call('end') },
      ...{ pauseResponse: call('pause'), resumeResponse: call('resume'), cancel: call('cancel') },
    };
    made.backend.settings();
    await settled();
    assert.deepEqual([made.client.takesTunnels, made.refused.length, made.counts.reusable, answer.failure], [false, 1, 1, '']);
    const { request, handler } = made.refused[0]!;
    assert.deepEqual([request.method, request.upgrade, request.fields, handler], ['GET', 'websocket', fields, answer]);
    write(stream, 'x');
    stream.pauseResponse();
    stream.resumeResponse();
    stream.endBody(undefined);
    stream.cancel();
    assert.deepEqual([calls, stream.connected, other.status], [['write', 'pause', 'resume', 'end', 'cancel'], true, 0]);
    assert.deepEqual(made.backend.lines(), ['Settings 0', 'WindowUpdate 0 983041', 'Settings 0 ack']);
  });

  it('goes elsewhere where tunnels have taken all the room, as a request for a tunnel, and so do others behind it', async () => {
    const made = clientBench(true, false);
    const tunnels = [made.ask(), made.ask(), made.ask()];
    const behind = made.send();
    made.elsewhere.stream = { ...behind.stream, connected: false } as UpstreamStream;
    made.backend.settings(Setting.EnableConnectProtocol, 1, Setting.MaxConcurrentStreams, 2);
    made.backend.send(made.backend.head(1, OK), made.backend.head(3, OK));
    await settled();
    assert.deepEqual(
      tunnels.map(({ answer }) => answer.status),
      [101, 101, 0],
    );
    assert.deepEqual(
      made.crowded.map(({ request, handler }) => [request.method, request.upgrade, handler]),
      [
        ['GET', 'websocket', tunnels[2]?.answer],
        ['GET', undefined, behind.answer],
      ],
    );
    assert.ok(made.crowded[0]?.request.fields === tunnels[2]?.fields && tunnels[2]?.fields.get('sec-websocket-key') === KEY);
  });

  it('fails as a request that was not sent where there is no elsewhere, or no connection', async () => {
    const refused = clientBench();
    const one = refused.ask();
    await settled();
    assert.deepEqual([one.answer.failure, one.answer.bytesSent], ['reset', false]);
    const lost = clientBench(true, false);
    const other = lost.ask();
    lost.connection.sendEnd();
    await settled();
    assert.deepEqual([other.answer.failure, other.answer.bytesSent, lost.refused.length], ['reset', false, 0]);
    const silent = clientBench(true, false);
    const third = silent.ask();
    silent.deadlines.sweep(silent.deadlines.now + 6_000);
    await settled();
    assert.deepEqual([third.answer.failure, third.answer.bytesSent], ['reset', false]);
  });

  it('is forgotten when it is cancelled', async () => {
    const made = clientBench(true, false);
    const { answer, stream } = made.ask();
    stream.cancel();
    made.backend.settings(Setting.EnableConnectProtocol, 1);
    await settled();
    assert.deepEqual([made.backend.lines().slice(2), answer.failure, made.refused.length, made.counts.reusable], [['Settings 0 ack'], '', 0, 1]);
  });
});
