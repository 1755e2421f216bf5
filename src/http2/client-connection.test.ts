import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Fields } from '../exchange/fields.ts';
import { UNKNOWN_LENGTH } from '../exchange/streams.ts';
import { settled } from '../http1/memory-wire.fixture.ts';
import { clientBench, ready } from './client.fixture.ts';
import type { RequestStream } from './client-stream.ts';
import { ErrorCode, goAwayFrame, PREFACE, rstStreamFrame, Setting, windowUpdateFrame } from './frames.ts';

const GET = ':method=GET :scheme=http :path=/x :authority=a te=trailers';

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
    assert.deepEqual(counts, { reusable: 0, room: 0, full: 0, retired: 0, gone: 0 });
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

  it('says once that it is idle, also where the end of one answer cancels the other request', async () => {
    for (const inOneFrame of [true, false]) {
      const { backend, client, counts, send } = clientBench();
      const [winner, loser] = [send(), send()];
      winner.answer.onEnded = () => loser.stream.cancel();
      if (!inOneFrame) backend.send(backend.head(1, [[':status', '200']]), backend.data(1, 'fir'));
      backend.send(inOneFrame ? backend.ok(1, 'first') : backend.data(1, 'st', true));
      await settled();
      assert.deepEqual([winner.answer.body, client.hasRoom, counts.reusable], ['first', true, 1]);
      // Taken again, it says so again.
      send();
      backend.send(backend.ok(5, 'next'));
      assert.equal(counts.reusable, 2);
      // And an idle one that the backend leaves is closed.
      backend.send(goAwayFrame(0x7fff_ffff, 0));
      assert.deepEqual([counts.retired, counts.gone], [1, 1]);
    }
  });

  it('sends elsewhere what the backend has no room for, with what came of it meanwhile', async () => {
    const { backend, counts, crowded, elsewhere, owner, send } = clientBench(true, false);
    const kept = [send(), send()];
    const told: string[] = [];
    const moved = send('POST', UNKNOWN_LENGTH);
    const waiting = send('POST', UNKNOWN_LENGTH);
    const whole = send('POST', 5);
    moved.stream.writeBody(Buffer.from('early'), 0, 5, false);
    whole.stream.writeBody(Buffer.from('whole'), 0, 5, false);
    whole.stream.endBody(undefined);
    elsewhere.stream = {
      connected: true,
      writeBody: (bytes, start, end) => told.push(bytes.toString('latin1', start, end)) > 0,
      endBody: () => void told.push('end'),
      ...{ pauseResponse: () => {}, resumeResponse: () => {}, cancel: () => void told.push('cancel') },
    };
    backend.settings(Setting.MaxConcurrentStreams, 2);
    assert.deepEqual(
      crowded.map(({ handler }) => handler),
      [moved.answer, waiting.answer, whole.answer],
    );
    assert.deepEqual([crowded[0]?.request.method, told, owner.streamsAtOnce, counts.full], ['POST', ['early', 'whole', 'end'], 2, 1]);
    assert.deepEqual([moved.answer.writable, waiting.answer.writable, whole.answer.writable], [1, 1, 0]);
    moved.stream.writeBody(Buffer.from('late'), 0, 4, false);
    waiting.stream.cancel();
    assert.deepEqual(told.slice(3), ['late', 'cancel']);
    backend.send(backend.ok(1, 'one'), backend.ok(3, 'two'));
    await settled();
    assert.deepEqual(
      kept.map(({ answer }) => answer.body),
      ['one', 'two'],
    );
    assert.deepEqual([counts.room, counts.reusable], [1, 1]);
  });

  it('keeps what can go nowhere else, and what waits while the backend takes nothing for now', async () => {
    const { backend, client, counts, crowded, elsewhere, owner, send } = clientBench(true, false);
    const [, second] = [send(), send()];
    elsewhere.stream = second.stream;
    backend.settings(Setting.MaxConcurrentStreams, 0);
    assert.deepEqual([crowded.length, client.hasRoom, counts.full, owner.streamsAtOnce], [0, false, 1, Number.POSITIVE_INFINITY]);
    elsewhere.stream = undefined;
    backend.settings(Setting.MaxConcurrentStreams, 1);
    backend.send(backend.ok(1, 'one'));
    backend.send(backend.ok(3, 'two'));
    await settled();
    assert.deepEqual([crowded.length, second.answer.body, owner.streamsAtOnce], [0, 'two', 1]);
  });

  it('goes by what the backend has said on another connection as long as it has not heard of it', async () => {
    const { backend, client, counts, owner, send } = clientBench(true, false);
    owner.streamsAtOnce = 2;
    send();
    assert.equal(client.hasRoom, true);
    send();
    assert.equal(client.hasRoom, false);
    backend.settings(Setting.MaxConcurrentStreams, 3);
    await settled();
    assert.deepEqual([client.hasRoom, counts.room, counts.full, owner.streamsAtOnce], [true, 1, 0, 3]);
  });

  it('shares the window of the connection among the bodies that wait for it', async () => {
    const { backend, send } = await ready();
    const bytes = Buffer.alloc(100_000, 'x');
    const tries = [send('POST', UNKNOWN_LENGTH), send('POST', UNKNOWN_LENGTH), send('POST', UNKNOWN_LENGTH)];
    for (const id of [1, 3, 5]) backend.send(windowUpdateFrame(id, 100_000));
    for (const { stream } of tries) stream.writeBody(bytes, 0, 100_000, true);
    await settled();
    backend.lines();
    const sent: string[] = [];
    for (let round = 0; round < 6; round++) {
      backend.send(windowUpdateFrame(0, 100));
      await settled();
      sent.push(...backend.lines());
    }
    assert.deepEqual(
      sent,
      [1, 3, 5, 1, 3, 5].map((id) => `Data ${id} 100`),
    );
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

  it('tells of a failure whether the connection had carried a request before', async () => {
    const { connection, send } = await ready();
    const answers = [send().answer, send().answer];
    connection.break();
    await settled();
    assert.deepEqual(
      answers.map(({ failure, reused }) => [failure, reused]),
      [
        ['reset', false],
        ['reset', true],
      ],
    );
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

  it('sends nothing more where a write has failed, and says so', async () => {
    const { backend, client, connection, send } = await ready();
    const { answer: first } = send();
    await settled();
    backend.lines();
    connection.isBroken = true;
    const { answer } = send('POST', 3);
    assert.equal(client.hasRoom, false);
    await settled();
    assert.deepEqual([answer.failure, answer.bytesSent, backend.lines()], ['reset', false, []]);
    backend.send(backend.ok(1, 'early'));
    assert.equal(first.body, 'early');
  });

  it('what waits stays unsent where a write has failed', async () => {
    const { backend, connection, send } = clientBench(true, false);
    const { answer: first } = send();
    const { answer: queued } = send('POST', 3);
    await settled();
    connection.isBroken = true;
    backend.settings();
    backend.send(backend.ok(1, 'early'));
    connection.break();
    await settled();
    assert.deepEqual([first.body, queued.failure, queued.bytesSent], ['early', 'reset', false]);
  });

  it('keeps nothing of a stream that waited for the window of the connection and is over', async () => {
    const { connection, send } = await ready();
    const { stream: first } = send('POST', 100_000);
    first.writeBody(Buffer.alloc(70_000), 0, 70_000, false);
    const [one, other] = [send('POST', 3).stream, send('POST', 3).stream] as RequestStream[];
    for (const stream of [one, other]) assert.equal(stream?.writeBody(Buffer.from('abc'), 0, 3, false), false);
    assert.deepEqual([one?.waiting, other?.waiting], [true, true]);
    one?.cancel();
    connection.send(Buffer.from(rstStreamFrame(5, ErrorCode.Cancel), 'latin1'));
    assert.deepEqual([one?.waiting, other?.waiting], [false, false]);
  });
});
