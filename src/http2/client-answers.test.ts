import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { NO_BODY, UNKNOWN_LENGTH } from '../exchange/streams.ts';
import { settled } from '../http1/memory-wire.fixture.ts';
import { clientBench, ready } from './client.fixture.ts';
import { ErrorCode, Flag, FrameType, frameHeader, goAwayFrame, pingFrame, rstStreamFrame, Setting, settingsFrame, windowUpdateFrame } from './frames.ts';

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
    assert.deepEqual(
      [other.answer.failure, other.answer.bytesSent, other.answer.cause?.message],
      ['reset', true, 'the backend reset the stream: INTERNAL_ERROR'],
    );
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
    assert.deepEqual([one.answer.failure, one.answer.bytesSent, one.answer.reused, one.answer.cause?.message], ['reset', true, false, 'ECONNRESET']);
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
    assert.deepEqual([answer.failure, answer.cause?.message, slow.counts.gone], ['connect-failure', 'the backend did not accept the connection in time', 1]);
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
