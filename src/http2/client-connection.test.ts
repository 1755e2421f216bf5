import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Fields } from '../exchange/fields.ts';
import { NO_BODY, UNKNOWN_LENGTH } from '../exchange/streams.ts';
import { settled } from '../http1/memory-wire.fixture.ts';
import { clientBench } from './client.fixture.ts';
import {
  ErrorCode,
  Flag,
  FrameType,
  frameHeader,
  goAwayFrame,
  headersFrames,
  PREFACE,
  pingFrame,
  rstStreamFrame,
  SETTINGS_ACK,
  Setting,
  settingsFrame,
  windowUpdateFrame,
} from './frames.ts';

const GET = ':method=GET :scheme=http :path=/x :authority=a te=trailers';

/** A bench whose own settings have gone out and been acknowledged. */
async function ready() {
  const made = clientBench();
  await settled();
  made.backend.lines();
  return made;
}

describe('HTTP/2 to backends: requests', () => {
  it('begins with the preface and its settings, and sends the first request along', async () => {
    const { backend, connection, send } = clientBench(false);
    const { stream } = send();
    assert.deepEqual([stream.connected, connection.received], [false, '']);
    connection.handler.onConnect?.();
    assert.equal(stream.connected, true);
    assert.ok(connection.received.startsWith(PREFACE));
    assert.deepEqual(backend.lines(), ['Settings 0', 'WindowUpdate 0 983041', `Headers 1 ${GET} END`]);
    assert.equal(connection.writes, 1);
    backend.settings();
    await settled();
    assert.deepEqual(backend.lines(), ['Settings 0 ack']);
  });

  it('sends what one turn brings in one write', async () => {
    const { backend, connection, send } = await ready();
    const before = connection.writes;
    for (let number = 0; number < 10; number++) send();
    await settled();
    assert.equal(connection.writes - before, 1);
    assert.deepEqual(
      backend.lines().map((line) => line.slice(0, 10)),
      Array.from({ length: 10 }, (_, index) => `Headers ${index * 2 + 1} :`.slice(0, 10)),
    );
  });

  it('writes fields as HTTP/2 has them, and no others', async () => {
    const { backend, send } = await ready();
    send('POST', 0, [
      ['Host', 'a'],
      ['Content-Length', '9'],
      ['Transfer-Encoding', 'chunked'],
      ['Connection', 'close'],
      ['Keep-Alive', '5'],
      ['TE', 'gzip'],
      ['Expect', '100-continue'],
      ['X-A', '1'],
    ]);
    await settled();
    assert.deepEqual(backend.lines(), ['Headers 1 :method=POST :scheme=http :path=/x :authority=a x-a=1 te=trailers content-length=0 END']);
  });

  it('sends a body as it comes, its length where it is known, and trailers', async () => {
    const { backend, send } = await ready();
    const one = send('POST', 5);
    assert.equal(one.stream.writeBody(Buffer.from('xhellox'), 1, 6, false), true);
    one.stream.endBody(undefined);
    const other = send('PUT', UNKNOWN_LENGTH);
    other.stream.writeBody(Buffer.from('world'), 0, 5, false);
    other.stream.writeBody(Buffer.from(''), 0, 0, false);
    other.stream.endBody(Fields.of([['X-Sum', '1']]));
    await settled();
    assert.deepEqual(backend.lines(), [
      'Headers 1 :method=POST :scheme=http :path=/x :authority=a te=trailers content-length=5',
      'Data 1 hello',
      'Data 1  END',
      'Headers 3 :method=PUT :scheme=http :path=/x :authority=a te=trailers',
      'Data 3 world',
      'Headers 3 x-sum=1 END',
    ]);
  });

  it('keeps what is written before the connection is up, and tells when it is', async () => {
    const { backend, connection, send } = clientBench(false);
    const early = send('POST', 10);
    const buffer = Buffer.from('hello');
    assert.equal(early.stream.writeBody(buffer, 0, 5, false), false);
    buffer.fill('!');
    assert.equal(early.stream.writeBody(Buffer.from('world'), 0, 5, false), false);
    early.stream.endBody(undefined);
    const late = send('POST', UNKNOWN_LENGTH);
    connection.handler.onConnect?.();
    backend.settings();
    await settled();
    assert.deepEqual([early.answer.writable, late.answer.writable], [0, 1]);
    const lines = backend.lines();
    assert.ok(lines.includes('Data 1 helloworld') && lines.includes('Data 1  END'), lines.join());
  });

  it('never sends more than was announced, and resets the stream where it is less', async () => {
    const { backend, counts, send } = await ready();
    const { stream } = send('POST', 5);
    stream.writeBody(Buffer.from('hello you'), 0, 9, false);
    const cut = send('POST', 5);
    cut.stream.writeBody(Buffer.from('hell'), 0, 4, false);
    cut.stream.endBody(undefined);
    assert.equal(cut.answer.failure, '');
    await settled();
    assert.deepEqual([cut.answer.failure, cut.answer.bytesSent], ['reset', true]);
    const lines = backend.lines();
    assert.ok(lines.includes('Data 1 hello') && lines.includes(`RstStream 3 ${ErrorCode.Cancel}`), lines.join());
    assert.deepEqual(counts, { reusable: 0, room: 0, retired: 0, gone: 0 });
  });

  it('stays within the windows of stream and connection, and tells when there is room', async () => {
    const { backend, send } = await ready();
    const { stream, answer } = send('POST', UNKNOWN_LENGTH);
    const bytes = Buffer.alloc(100_000, 'x');
    assert.equal(stream.writeBody(bytes, 0, 50_000, false), true);
    assert.equal(stream.writeBody(bytes, 0, 50_000, true), false);
    const sum = async () => {
      await settled();
      return backend
        .lines()
        .reduce((total, line) => total + (line.startsWith('Data') ? Number(line.split(' ')[2]?.replace(/x+/, (bytes) => String(bytes.length))) : 0), 0);
    };
    assert.equal(await sum(), 65_535);
    // The stream has room, the connection has not.
    backend.send(windowUpdateFrame(1, 100_000));
    assert.equal(await sum(), 0);
    backend.send(windowUpdateFrame(0, 10_000));
    assert.equal(await sum(), 10_000);
    assert.equal(answer.writable, 0);
    backend.send(windowUpdateFrame(0, 100_000));
    assert.equal(await sum(), 24_465);
    assert.equal(answer.writable, 1);
    // Another stream shares the connection's window, but not the other's own.
    const second = send('POST', UNKNOWN_LENGTH);
    assert.equal(second.stream.writeBody(bytes, 0, 70_000, false), false);
    assert.equal(await sum(), 65_535);
    // A smaller window takes effect on what is under way (RFC 9113 section 6.9.2).
    backend.settings(Setting.InitialWindowSize, 0);
    backend.send(windowUpdateFrame(3, 65_535));
    assert.equal(await sum(), 0);
    backend.send(windowUpdateFrame(3, 1));
    assert.equal(await sum(), 1);
    backend.settings(Setting.InitialWindowSize, 65_535);
    assert.equal(await sum(), 4_464);
  });

  it('waits while the socket takes no more', async () => {
    const { backend, connection, send } = await ready();
    connection.taking = false;
    const { stream, answer } = send('POST', UNKNOWN_LENGTH);
    const bytes = Buffer.alloc(20_000, 'x');
    assert.equal(stream.writeBody(bytes, 0, 20_000, false), false);
    assert.equal(stream.writeBody(bytes, 0, 10_000, false), false);
    connection.drain();
    await settled();
    assert.equal(answer.writable, 1);
    assert.deepEqual(backend.lines().slice(1), ['Data 1 16384', 'Data 1 3616', 'Data 1 10000']);
  });
});

describe('HTTP/2 to backends: room on a connection', () => {
  it('sends one request before it knows the settings, and the others as they allow', async () => {
    const { backend, client, connection, counts, send } = clientBench(true, false);
    const tries = [send(), send(), send(), send()];
    await settled();
    assert.equal(backend.lines().filter((line) => line.startsWith('Headers')).length, 1);
    backend.settings(Setting.MaxConcurrentStreams, 2);
    await settled();
    assert.deepEqual(
      backend.lines().filter((line) => line.startsWith('Headers')),
      [`Headers 3 ${GET} END`],
    );
    assert.deepEqual([client.hasRoom, counts.room], [false, 0]);
    backend.send(backend.ok(1, 'one'));
    await settled();
    assert.deepEqual(backend.lines(), [`Headers 5 ${GET} END`]);
    backend.send(backend.ok(3, 'two'), backend.ok(5, 'three'));
    await settled();
    assert.deepEqual([client.hasRoom, counts.room, counts.reusable], [true, 1, 0]);
    backend.send(backend.ok(7, 'four'));
    assert.deepEqual(
      tries.map(({ answer }) => answer.body),
      ['one', 'two', 'three', 'four'],
    );
    assert.deepEqual([counts.reusable, connection.destroyed], [1, false]);
  });

  it('takes up to a hundred at once where the backend takes more', async () => {
    const { client, send } = await ready();
    for (let number = 0; number < 99; number++) send();
    assert.equal(client.hasRoom, true);
    send();
    assert.equal(client.hasRoom, false);
  });

  it('has room again when the backend allows more', async () => {
    const { backend, client, counts, send } = clientBench();
    backend.settings(Setting.MaxConcurrentStreams, 1);
    send();
    assert.equal(client.hasRoom, false);
    backend.settings(Setting.MaxConcurrentStreams, 2);
    assert.deepEqual([client.hasRoom, counts.room], [true, 1]);
  });

  it('tells that a stream is reused from the second request on', async () => {
    const { send } = await ready();
    assert.deepEqual([send().stream.reused, send().stream.reused], [false, true]);
  });

  it('gives up a connection from which nothing comes', async () => {
    const { backend, client, connection, counts, deadlines, send } = await ready();
    const [one, other] = [send(), send()];
    deadlines.sweep(1_500);
    one.stream.cancel();
    assert.equal(counts.retired, 0);
    const third = send();
    deadlines.sweep(4_000);
    other.stream.cancel();
    assert.deepEqual([counts.retired, client.hasRoom, connection.ended], [1, false, false]);
    backend.send(backend.ok(5, 'late'));
    assert.deepEqual([third.answer.body, counts.gone], ['late', 1]);
  });

  it('takes a request that comes when it is closed as one that was not sent', async () => {
    const { client, connection, counts, send } = await ready();
    connection.break();
    assert.equal(counts.gone, 1);
    const { answer } = send();
    assert.equal(answer.failure, '');
    await settled();
    assert.deepEqual([answer.failure, answer.bytesSent, client.hasRoom], ['reset', false, false]);
  });
});

describe('HTTP/2 to backends: answers', () => {
  it('gives an answer that is there as a whole as a whole', async () => {
    const { backend, counts, send } = await ready();
    const { answer } = send();
    backend.send(
      backend.head(1, [
        [':status', '200'],
        ['content-length', '5'],
        ['x-a', '1'],
        ['te', 'trailers'],
      ]),
      backend.data(1, 'hello', true),
    );
    assert.deepEqual([answer.whole, answer.status, answer.fields, answer.length, answer.body, counts.reusable], [true, 200, 'x-a: 1\r\n', 5, 'hello', 1]);
  });

  it('takes an empty frame behind the last bytes for their end', async () => {
    const { backend, send } = await ready();
    const { answer } = send();
    backend.send(backend.head(1, [[':status', '200']]), backend.data(1, 'hello'), backend.data(1, '', true));
    assert.deepEqual([answer.whole, answer.length, answer.body], [true, 5, 'hello']);
  });

  it('gives a head by itself when nothing comes with it', async () => {
    const { backend, send } = await ready();
    const { answer } = send();
    backend.send(backend.head(1, [[':status', '200']]));
    assert.deepEqual([answer.status, answer.length, answer.ended], [200, UNKNOWN_LENGTH, false]);
    backend.send(backend.data(1, 'one'));
    backend.send(backend.data(1, 'two'));
    assert.deepEqual([answer.body, answer.ended], ['onetwo', false]);
    backend.send(backend.data(1, '', true));
    assert.deepEqual([answer.ended, answer.trailers], [true, undefined]);
  });

  it('gives trailers, but for those that may not be any', async () => {
    const { backend, send } = await ready();
    const { answer } = send();
    backend.send(backend.head(1, [[':status', '200']]), backend.data(1, 'x'));
    backend.send(
      backend.head(
        1,
        [
          ['grpc-status', '0'],
          ['authorization', 'x'],
        ],
        true,
      ),
    );
    assert.deepEqual([answer.body, answer.ended, answer.trailers], ['x', true, 'grpc-status: 0\r\n']);
  });

  it('passes 103 on and swallows 100', async () => {
    const { backend, send } = await ready();
    const { answer } = send();
    backend.send(backend.head(1, [[':status', '100']]));
    backend.send(
      backend.head(1, [
        [':status', '103'],
        ['link', '</a>'],
      ]),
    );
    backend.send(backend.ok(1, 'x'));
    assert.deepEqual([answer.informed, answer.body], [['103 link: </a>\r\n'], 'x']);
  });

  it('knows answers without a body', async () => {
    const { backend, send } = await ready();
    const head = send('HEAD');
    const none = send();
    const notModified = send();
    const empty = send();
    backend.send(
      backend.head(
        1,
        [
          [':status', '200'],
          ['content-length', '5'],
        ],
        true,
      ),
      backend.head(3, [[':status', '204']], true),
      backend.head(
        5,
        [
          [':status', '304'],
          ['content-length', '5'],
        ],
        true,
      ),
      backend.head(7, [[':status', '200']], true),
    );
    assert.deepEqual(
      [head, none, notModified, empty].map(({ answer }) => [answer.whole, answer.length, answer.fields]),
      [
        [true, NO_BODY, 'content-length: 5\r\n'],
        [true, NO_BODY, ''],
        [true, NO_BODY, 'content-length: 5\r\n'],
        [true, 0, ''],
      ],
    );
  });

  it('holds back what a slow reader does not take, up to the window, while others go on', async () => {
    const { backend, send } = await ready();
    const slow = send();
    const quick = send();
    slow.answer.onBytes = () => slow.stream.pauseResponse();
    backend.send(backend.head(1, [[':status', '200']]), backend.data(1, 'x'.repeat(10_000)));
    backend.send(backend.data(1, 'y'.repeat(16_000)), backend.data(1, 'y'.repeat(16_000)), backend.data(1, 'z'.repeat(16_000)));
    backend.send(backend.ok(3, 'quick'));
    await settled();
    assert.deepEqual([slow.answer.body.length, quick.answer.body], [10_000, 'quick']);
    // Nothing of it is given back to the backend.
    assert.deepEqual(
      backend.lines().filter((line) => line.startsWith('WindowUpdate')),
      [],
    );
    slow.answer.onBytes = undefined;
    slow.stream.resumeResponse();
    assert.equal(slow.answer.body.length, 10_000);
    await settled();
    assert.equal(slow.answer.body.length, 58_000);
    assert.deepEqual(backend.lines(), ['WindowUpdate 1 58000']);
    backend.send(backend.data(1, '!', true));
    assert.deepEqual([slow.answer.body.length, slow.answer.ended], [58_001, true]);
  });

  it('gives the end of an answer behind what was held back, though the connection is gone', async () => {
    const { backend, connection, counts, send } = await ready();
    const { stream, answer } = send();
    answer.onBytes = () => stream.pauseResponse();
    backend.send(backend.head(1, [[':status', '200']]), backend.data(1, 'one'), backend.data(1, 'two'));
    backend.send(backend.head(1, [['x-sum', '1']], true));
    assert.deepEqual([answer.body, answer.ended, counts.reusable], ['one', false, 1]);
    connection.break();
    stream.resumeResponse();
    await settled();
    assert.deepEqual([answer.body, answer.ended, answer.trailers, answer.failure], ['onetwo', true, 'x-sum: 1\r\n', '']);
  });

  it('gives the windows back as bytes are passed on, padding included', async () => {
    const { backend, send } = await ready();
    const { answer } = send();
    backend.send(backend.head(1, [[':status', '200']]));
    const padded = `${frameHeader(16_001, FrameType.Data, Flag.Padded, 1)}\x64${'x'.repeat(15_900)}${'\0'.repeat(100)}`;
    for (let number = 0; number < 50; number++) {
      backend.send(padded);
      await settled();
    }
    assert.equal(answer.body.length, 50 * 15_900);
    const updates = backend.lines().map((line) => line.split(' '));
    const given = (id: string) => updates.filter(([type, stream]) => type === 'WindowUpdate' && stream === id).reduce((sum, line) => sum + Number(line[2]), 0);
    assert.ok(50 * 16_001 - given('1') < 40_000, `${given('1')}`);
    assert.ok(50 * 16_001 - given('0') < 600_000, `${given('0')}`);
  });

  it('resets a stream whose answer is complete before the request is', async () => {
    const { backend, counts, send } = await ready();
    const { answer, stream } = send('POST', UNKNOWN_LENGTH);
    stream.writeBody(Buffer.from('x'), 0, 1, false);
    backend.send(backend.ok(1, 'enough'));
    await settled();
    assert.deepEqual([answer.body, counts.reusable], ['enough', 1]);
    assert.deepEqual(backend.lines().at(-1), `RstStream 1 ${ErrorCode.Cancel}`);
    assert.equal(stream.writeBody(Buffer.from('x'), 0, 1, false), true);
  });
});

describe('HTTP/2 to backends: ends', () => {
  it('cancels one stream and leaves the others alone', async () => {
    const { backend, counts, send } = await ready();
    const [one, other] = [send(), send()];
    one.stream.cancel();
    backend.send(backend.head(1, [[':status', '200']]), backend.data(1, 'late'), rstStreamFrame(1, ErrorCode.NoError), windowUpdateFrame(1, 5));
    backend.send(backend.ok(3, 'x'));
    await settled();
    assert.deepEqual([one.answer.status, one.answer.failure, other.answer.body, counts.reusable], [0, '', 'x', 1]);
    assert.equal(backend.lines().at(-1), `RstStream 1 ${ErrorCode.Cancel}`);
  });

  it('takes a refused stream as one that was not sent', async () => {
    const { backend, counts, send } = await ready();
    const [one, other] = [send(), send()];
    backend.send(rstStreamFrame(1, ErrorCode.RefusedStream), rstStreamFrame(3, ErrorCode.InternalError));
    assert.deepEqual([one.answer.failure, one.answer.bytesSent], ['reset', false]);
    assert.deepEqual([other.answer.failure, other.answer.bytesSent, other.answer.cause], ['reset', true, 'the backend reset the stream: INTERNAL_ERROR']);
    assert.equal(counts.reusable, 1);
  });

  it('after GOAWAY takes what was not worked on elsewhere, and lets the rest finish', async () => {
    const { backend, client, connection, counts, send } = await ready();
    const [one, two, three] = [send(), send(), send()];
    backend.send(goAwayFrame(0x7fff_ffff, ErrorCode.NoError));
    assert.deepEqual([counts.retired, client.hasRoom, three.answer.failure], [1, false, '']);
    backend.send(goAwayFrame(3, ErrorCode.NoError));
    assert.deepEqual([three.answer.failure, three.answer.bytesSent], ['reset', false]);
    backend.send(backend.ok(1, 'one'));
    assert.equal(connection.ended, false);
    backend.send(backend.ok(3, 'two'));
    assert.deepEqual([one.answer.body, two.answer.body, counts.gone, counts.reusable], ['one', 'two', 1, 0]);
    await settled();
    assert.equal(connection.destroyed, true);
  });

  it('takes requests that wait elsewhere when GOAWAY comes', async () => {
    const { backend, send } = clientBench(true, false);
    const [, waiting] = [send(), send()];
    backend.send(settingsFrame(Setting.MaxConcurrentStreams, 1), goAwayFrame(1, ErrorCode.NoError));
    await settled();
    assert.deepEqual([waiting.answer.failure, waiting.answer.bytesSent], ['reset', false]);
  });

  it('ends for good after a storm of GOAWAY', async () => {
    const { backend, connection, counts, send } = await ready();
    const { answer } = send();
    backend.send(goAwayFrame(1, ErrorCode.NoError).repeat(1000));
    await settled();
    assert.deepEqual([answer.failure, counts.gone, connection.destroyed], ['malformed', 1, true]);
    assert.deepEqual(backend.lines().slice(1), [`GoAway 0 0 ${ErrorCode.EnhanceYourCalm}`]);
  });

  it('answers PING, and ends where the answers are not read', async () => {
    const { backend, connection, counts, send } = await ready();
    const { answer } = send();
    backend.send(pingFrame('12345678', false));
    await settled();
    assert.equal(backend.lines().at(-1), 'Ping 0 12345678 ack');
    connection.taking = false;
    for (let number = 0; number < 100 && counts.gone === 0; number++) {
      backend.send(pingFrame('12345678', false).repeat(3_000));
      await settled();
    }
    assert.deepEqual([answer.failure, counts.gone], ['malformed', 1]);
  });

  it('tells every request of a connection that is lost', async () => {
    const { connection, counts, send } = await ready();
    const [one, other] = [send(), send()];
    connection.break(new Error('ECONNRESET'));
    assert.deepEqual([one.answer.failure, one.answer.bytesSent, one.answer.reused, one.answer.cause], ['reset', true, false, 'ECONNRESET']);
    assert.deepEqual([other.answer.failure, other.answer.reused, counts.gone], ['reset', true, 1]);
  });

  it('tells that there is no connection, and that it took too long', async () => {
    const refused = clientBench(false);
    const tries = [refused.send(), refused.send()];
    refused.connection.break(new Error('ECONNREFUSED'));
    assert.deepEqual(
      tries.map(({ answer }) => [answer.failure, answer.bytesSent]),
      [
        ['connect-failure', false],
        ['connect-failure', false],
      ],
    );
    const slow = clientBench(false);
    const { answer } = slow.send();
    slow.deadlines.sweep(6_001);
    assert.deepEqual([answer.failure, answer.cause, slow.counts.gone], ['connect-failure', 'the backend did not accept the connection in time', 1]);
    const silent = clientBench(true, false);
    const [sent, waits] = [silent.send(), silent.send()];
    silent.deadlines.sweep(6_001);
    assert.deepEqual([sent.answer.failure, sent.answer.bytesSent, waits.answer.bytesSent], ['reset', true, false]);
  });

  it('says good-bye when it is closed', async () => {
    const { backend, client, connection, counts } = await ready();
    client.destroy();
    await settled();
    assert.deepEqual(backend.lines(), ['GoAway 0 0 0']);
    assert.deepEqual([connection.finished, connection.destroyed, counts.gone], [true, true, 0]);
  });
});

describe('HTTP/2 to backends: what breaks the protocol', () => {
  it('knows a backend that speaks something else', async () => {
    for (const text of ['HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n', 'SSH-2.0-x\r\n', `${goAwayFrame(0, 0)}`, '\0'.repeat(64)]) {
      const { connection, counts, send } = clientBench(true, false);
      const [one, waits] = [send(), send()];
      connection.send(text);
      assert.deepEqual(
        [one.answer.failure, one.answer.cause, waits.answer.failure, counts.gone],
        ['malformed', 'the backend does not speak HTTP/2', 'malformed', 1],
      );
    }
  });

  const connectionErrors: readonly (readonly [string, ErrorCode, (...args: never[]) => string])[] = [
    ['a frame on a stream that never was', ErrorCode.ProtocolError, () => rstStreamFrame(99, 0)],
    ['a stream of its own', ErrorCode.ProtocolError, () => rstStreamFrame(2, 0)],
    ['a push', ErrorCode.ProtocolError, () => `${frameHeader(5, FrameType.PushPromise, Flag.EndHeaders, 1)}\0\0\0\x02\x88`],
    ['more acknowledgements than we have sent SETTINGS', ErrorCode.ProtocolError, () => SETTINGS_ACK.repeat(2)],
    ['SETTINGS_ENABLE_PUSH', ErrorCode.ProtocolError, () => settingsFrame(Setting.EnablePush, 1)],
    ['a window beyond the largest', ErrorCode.FlowControlError, () => settingsFrame(Setting.InitialWindowSize, 0x8000_0000)],
    ['a frame size below the least', ErrorCode.ProtocolError, () => settingsFrame(Setting.MaxFrameSize, 100)],
    ['a frame that is too large', ErrorCode.FrameSizeError, () => frameHeader(16_385, FrameType.Data, 0, 1)],
    ['an update of nothing', ErrorCode.ProtocolError, () => windowUpdateFrame(0, 0)],
    ['an update beyond the largest window', ErrorCode.FlowControlError, () => windowUpdateFrame(0, 0x7fff_ffff)],
    ['no HPACK', ErrorCode.CompressionError, () => headersFrames(1, '\x80', true, 16_384)],
    ['a frame within a header block', ErrorCode.ProtocolError, () => `${frameHeader(1, FrameType.Headers, 0, 1)}\x88${pingFrame('12345678', false)}`],
    ['CONTINUATION of nothing', ErrorCode.ProtocolError, () => `${frameHeader(1, FrameType.Continuation, 0, 1)}\x88`],
    [
      'CONTINUATION of another stream',
      ErrorCode.ProtocolError,
      () => `${frameHeader(1, FrameType.Headers, 0, 1)}\x88${frameHeader(0, FrameType.Continuation, 4, 3)}`,
    ],
    [
      'CONTINUATION without end',
      ErrorCode.EnhanceYourCalm,
      () => frameHeader(0, FrameType.Headers, 0, 1) + frameHeader(0, FrameType.Continuation, 0, 1).repeat(10),
    ],
    [
      'a header block without end',
      ErrorCode.EnhanceYourCalm,
      () => `${frameHeader(0, FrameType.Headers, 0, 1)}${(frameHeader(16_384, FrameType.Continuation, 0, 1) + '\x88'.repeat(16_384)).repeat(17)}`,
    ],
  ];
  for (const [name, code, frames] of connectionErrors) {
    it(`ends the connection for ${name}`, async () => {
      const { backend, connection, counts, send } = await ready();
      const [one, other] = [send(), send()];
      connection.send(frames());
      await settled();
      assert.deepEqual([one.answer.failure, other.answer.failure, counts.gone, connection.destroyed], ['malformed', 'malformed', 1, true]);
      assert.equal(backend.lines().at(-1), `GoAway 0 0 ${code}`);
    });
  }

  it('ends the connection where more comes than the windows allow', async () => {
    const { backend, counts, send } = await ready();
    const { answer, stream } = send();
    stream.pauseResponse();
    backend.send(backend.head(1, [[':status', '200']]));
    for (let number = 0; number < 5; number++) backend.send(backend.data(1, 'x'.repeat(16_000)));
    await settled();
    assert.deepEqual([answer.failure, counts.gone], ['malformed', 1]);
    assert.equal(backend.lines().at(-1), `GoAway 0 0 ${ErrorCode.FlowControlError}`);
  });

  type Bench = Awaited<ReturnType<typeof ready>>['backend'];
  const streamErrors: readonly (readonly [string, (backend: Bench) => string])[] = [
    ['no status', (backend) => backend.head(1, [['x-a', '1']], true)],
    ['a status that is none', (backend) => backend.head(1, [[':status', '20']], true)],
    ['a status with a sign', (backend) => backend.head(1, [[':status', '+200']], true)],
    [
      'two statuses',
      (backend) =>
        backend.head(
          1,
          [
            [':status', '200'],
            [':status', '200'],
          ],
          true,
        ),
    ],
    ['a length among trailers', (backend) => backend.head(1, [[':status', '200']]) + backend.head(1, [['content-length', '0']], true)],
    ['a status above 599', (backend) => backend.head(1, [[':status', '600']], true)],
    ['101', (backend) => backend.head(1, [[':status', '101']], true)],
    [
      'a pseudo-header field of requests',
      (backend) =>
        backend.head(
          1,
          [
            [':status', '200'],
            [':path', '/'],
          ],
          true,
        ),
    ],
    [
      'a status behind a field',
      (backend) =>
        backend.head(
          1,
          [
            ['x-a', '1'],
            [':status', '200'],
          ],
          true,
        ),
    ],
    [
      'an upper-case name',
      (backend) =>
        backend.head(
          1,
          [
            [':status', '200'],
            ['x-\x80', '1'],
          ],
          true,
        ),
    ],
    [
      'a line feed in a value',
      (backend) =>
        backend.head(
          1,
          [
            [':status', '200'],
            ['x-a', '1\nx-b: 2'],
          ],
          true,
        ),
    ],
    [
      'Transfer-Encoding',
      (backend) =>
        backend.head(
          1,
          [
            [':status', '200'],
            ['transfer-encoding', 'chunked'],
          ],
          true,
        ),
    ],
    [
      'two lengths',
      (backend) =>
        backend.head(1, [
          [':status', '200'],
          ['content-length', '1'],
          ['content-length', '1'],
        ]) + backend.data(1, 'x', true),
    ],
    [
      'a length that is none',
      (backend) =>
        backend.head(1, [
          [':status', '200'],
          ['content-length', '+1'],
        ]) + backend.data(1, 'x', true),
    ],
    [
      'less than announced',
      (backend) =>
        backend.head(1, [
          [':status', '200'],
          ['content-length', '2'],
        ]) + backend.data(1, 'x', true),
    ],
    [
      'nothing where something was announced',
      (backend) =>
        backend.head(
          1,
          [
            [':status', '200'],
            ['content-length', '2'],
          ],
          true,
        ),
    ],
    [
      'more than announced',
      (backend) =>
        backend.head(1, [
          [':status', '200'],
          ['content-length', '2'],
        ]) + backend.data(1, 'xyz', true),
    ],
    ['content of a 204', (backend) => backend.head(1, [[':status', '204']]) + backend.data(1, 'x', true)],
    [
      'a length of a 204',
      (backend) =>
        backend.head(
          1,
          [
            [':status', '204'],
            ['content-length', '1'],
          ],
          true,
        ),
    ],
    ['an interim answer that ends the stream', (backend) => backend.head(1, [[':status', '100']], true)],
    ['too many interim answers', (backend) => Array.from({ length: 17 }, () => backend.head(1, [[':status', '100']])).join('')],
    ['content before the head', (backend) => backend.data(1, 'x')],
    ['content behind an interim answer', (backend) => backend.head(1, [[':status', '100']]) + backend.data(1, 'x')],
    ['too many fields', (backend) => backend.head(1, [[':status', '200'], ...Array.from({ length: 1001 }, () => ['a', ''] as const)], true)],
    ['an update of nothing', () => windowUpdateFrame(1, 0)],
    ['an update beyond the largest window', () => windowUpdateFrame(1, 0x7fff_ffff)],
  ];
  for (const [name, frames] of streamErrors) {
    it(`ends the stream for ${name}`, async () => {
      const { backend, connection, counts, send } = await ready();
      const [one, other] = [send(), send()];
      connection.send(frames(backend));
      await settled();
      assert.deepEqual([one.answer.failure, one.answer.status, other.answer.failure, counts.gone], ['malformed', 0, '', 0]);
      assert.match(backend.lines().at(-1) ?? '', /^RstStream 1 [13]$/);
      backend.send(backend.ok(3, 'x'));
      assert.equal(other.answer.body, 'x');
    });
  }

  const lateErrors: readonly (readonly [string, (backend: Bench) => string])[] = [
    ['trailers that do not end the stream', (backend) => backend.head(1, [['x-a', '1']])],
    ['trailers with a pseudo-header field', (backend) => backend.head(1, [[':status', '200']], true)],
    ['trailers before the announced end', (backend) => backend.head(1, [['x-a', '1']], true)],
    ['less than announced', (backend) => backend.data(1, 'x', true)],
  ];
  for (const [name, frames] of lateErrors) {
    it(`ends an answer that has begun for ${name}`, async () => {
      const { backend, connection, send } = await ready();
      const { answer } = send();
      backend.send(
        backend.head(1, [
          [':status', '200'],
          ['content-length', '5'],
        ]),
      );
      connection.send(frames(backend));
      await settled();
      assert.deepEqual([answer.status, answer.failure], [200, 'malformed']);
      assert.equal(backend.lines().at(-1), `RstStream 1 ${ErrorCode.ProtocolError}`);
    });
  }
});
