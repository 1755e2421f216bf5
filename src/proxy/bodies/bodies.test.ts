/** What filters can do with bodies, on both sides' sockets and in both protocols of clients. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { connect } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { beforeEach, describe, test } from 'node:test';
import type { BodySink, BodyStage, WholeAnswer } from '../../exchange/bodies.ts';
import type { Exchange, Reply } from '../../exchange/exchange.ts';
import { type Filter, Verdict } from '../../policies/policy.ts';
import { Capitals, capitals, startBench } from './bench.fixture.ts';

const bench = await startBench();

interface Got {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
  readonly trailers: Readonly<Record<string, unknown>>;
  /** It did not come to its end. */
  readonly cut: boolean;
}

interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Pieces are sent without a length. */
  readonly body?: string | readonly string[];
}

function piecesOf(body: Asked['body']): readonly string[] {
  return body === undefined ? [] : typeof body === 'string' ? [body] : body;
}

async function askHttp1({ method = 'GET', headers = {}, body }: Asked = {}): Promise<Got> {
  const outgoing = request({ port: bench.http1, host: '127.0.0.1', method, headers: { ...headers }, agent: false });
  outgoing.on('error', () => {});
  if (typeof body === 'string') outgoing.setHeader('content-length', body.length);
  for (const piece of piecesOf(body)) outgoing.write(piece);
  outgoing.end();
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  return gotOf(response, { status: response.statusCode ?? 0, headers: response.headers });
}

/** What a backend does once a piece of its answer has come to the client. */
let onPiece: (() => void) | undefined;

async function gotOf(readable: NodeJS.ReadableStream & { trailers?: object }, head: { status: number; headers: object }): Promise<Got> {
  const chunks: Buffer[] = [];
  let cut = false;
  try {
    for await (const chunk of readable) {
      chunks.push(chunk as Buffer);
      onPiece?.();
    }
  } catch {
    cut = true;
  }
  return { status: head.status, headers: { ...head.headers }, body: Buffer.concat(chunks).toString('latin1'), trailers: { ...readable.trailers }, cut };
}

async function askHttp2({ method = 'GET', headers = {}, body }: Asked = {}): Promise<Got> {
  const session = connect(`http://127.0.0.1:${bench.http2}`);
  const length = typeof body === 'string' ? { 'content-length': body.length } : {};
  const stream = session.request({ ':method': method, ...headers, ...length }, { endStream: body === undefined });
  stream.on('error', () => {});
  for (const piece of piecesOf(body)) stream.write(piece);
  if (body !== undefined) stream.end();
  let trailers = {};
  stream.on('trailers', (found) => {
    trailers = found;
  });
  const [found] = await once(stream, 'response');
  const got = await gotOf(stream, { status: found[':status'], headers: found });
  session.destroy();
  return { ...got, trailers };
}

const protocols = [
  ['HTTP/1.1', askHttp1],
  ['HTTP/2', askHttp2],
] as const;

function filterOf(parts: Partial<Filter>): Filter {
  return { policy: 'test', describe: () => '', ...parts };
}

/** Reads whole answers, and changes them so. */
function collecting(change: (answer: WholeAnswer) => Reply | undefined, maxBytes = 100): Filter {
  return filterOf({
    onResponseBody: (exchange) =>
      exchange.reply === undefined ? { maxBytes, change, tooLarge: { status: 502, reason: 'answer_too_large', detail: 'Too large.' } } : undefined,
  });
}

const lastLine = (): { status: number; reason: string } => {
  const { status, reason } = bench.lines.at(-1) as { status: number; reason: string };
  return { status, reason };
};

beforeEach(() => {
  bench.filters = [];
  bench.route = {};
  bench.mirror = false;
  bench.seen.length = 0;
  bench.lines.length = 0;
  bench.backend = (_request, response) => response.end('ok');
});

for (const [protocol, ask] of protocols) {
  describe(`bodies of answers over ${protocol}`, () => {
    test('pass a stage that takes its time, without a length, and with their trailers', async () => {
      bench.filters = [filterOf({ onResponseBody: () => capitals })];
      Capitals.maxHeld = 0;
      const body = 'abcdefgh'.repeat(250_000);
      bench.backend = (_request, response) => {
        response.writeHead(200, { trailer: 'x-sum' });
        response.addTrailers({ 'x-sum': '7' });
        response.end(body);
      };
      const { status, headers, body: got, trailers } = await ask();
      assert.deepEqual([status, headers['content-length'], trailers['x-sum']], [200, undefined, '7']);
      assert.equal(got, body.toUpperCase());
      assert.ok(Capitals.maxHeld < 512 * 1024, `the stage was given ${Capitals.maxHeld} bytes at once`);
      assert.equal(Capitals.live, 0);
      await bench.untilLines(1);
      assert.deepEqual([lastLine(), bench.lines[0]?.responseBytes], [{ status: 200, reason: '' }, body.length]);
    });

    test('pass several stages, the one of the filter nearest to the backend first', async () => {
      const marking = (mark: string): Filter => filterOf({ onResponseBody: () => ({ stage: (sink) => new Marking(sink, mark) }) });
      bench.filters = [marking('outer'), filterOf({ onResponseBody: () => capitals }), marking('inner')];
      assert.equal((await ask()).body, 'OKINNERouter');
    });

    test('that a stage has whole at once keep a length', async () => {
      bench.filters = [filterOf({ onResponseBody: () => ({ stage: (sink) => new Marking(sink, '!') }) })];
      const { headers, body } = await ask();
      assert.deepEqual([headers['content-length'], body], ['3', 'ok!']);
    });

    test('that there are not, are not changed: HEAD, 204, 304; their heads may be', async () => {
      const lengths: number[] = [];
      bench.filters = [
        filterOf({
          onResponseBody: (_exchange, _status, fields, length) => {
            lengths.push(length);
            fields.set('x-seen', 'yes');
            return capitals;
          },
        }),
      ];
      bench.backend = ({ message }, response) => {
        response.writeHead(message.method === 'HEAD' ? 200 : Number(message.headers['x-status']), message.method === 'HEAD' ? { 'content-length': 10 } : {});
        response.end();
      };
      for (const asked of [{ method: 'HEAD' }, { headers: { 'x-status': '204' } }, { headers: { 'x-status': '304' } }]) {
        const { headers, body, cut } = await ask(asked);
        assert.deepEqual([headers['x-seen'], body, cut], ['yes', '', false]);
      }
      assert.deepEqual(lengths, [-2, -2, -2]);
    });

    test('are read whole and replaced, and go on through the filters behind', async () => {
      bench.filters = [
        filterOf({ onResponse: (_exchange, status, fields) => fields.set('x-status', String(status)) }),
        collecting((answer) => {
          answer.status = 201;
          answer.fields.set('x-was', answer.body.toString());
          answer.body = Buffer.from('something longer');
          return undefined;
        }),
        filterOf({ onResponseBody: () => capitals }),
      ];
      const { status, headers, body } = await ask();
      assert.deepEqual([status, headers['x-was'], headers['x-status'], body, headers['content-length']], [201, 'OK', '201', 'something longer', '16']);
      await bench.untilLines(1);
      assert.deepEqual(lastLine(), { status: 201, reason: '' });
    });

    test('may be replaced by an answer of the gateway', async () => {
      bench.filters = [collecting(() => ({ status: 502, reason: 'not_json', detail: 'No.' }))];
      const { status, headers } = await ask();
      assert.deepEqual([status, headers['content-type']], [502, 'application/problem+json']);
      assert.deepEqual(lastLine(), { status: 502, reason: 'not_json' });
    });

    test('are not read further than their bound, by length or by count', async () => {
      bench.filters = [collecting(() => assert.fail('whole'))];
      bench.backend = (_request, response) => response.end('x'.repeat(101));
      assert.equal((await ask()).status, 502);
      bench.backend = (_request, response) => {
        response.write('x'.repeat(50));
        setTimeout(() => response.end('x'.repeat(51)), 5);
      };
      assert.equal((await ask()).status, 502);
      assert.deepEqual(lastLine(), { status: 502, reason: 'answer_too_large' });
    });

    test('that break off while they are read are 502, those that take too long 504', async () => {
      bench.filters = [collecting(() => assert.fail('whole'))];
      bench.backend = (_request, response) => {
        response.writeHead(200, { 'content-length': 50 });
        response.write('x', () => response.destroy());
      };
      assert.equal((await ask()).status, 502);
      assert.deepEqual(lastLine(), { status: 502, reason: 'upstream_reset' });
      bench.route = { timeouts: { request: 300, backendRequest: 300, idle: 300 } };
      bench.backend = (_request, response) => {
        response.writeHead(200, { 'content-length': 50 });
        response.write('x');
      };
      assert.equal((await ask()).status, 504);
    });

    test('that a stage gives up are cut, or answered anew where nothing went out', async () => {
      const refusal: Reply = { status: 502, reason: 'too_much', detail: 'No.' };
      const failing = (after: number, why: Reply | Error): Filter =>
        filterOf({ onResponseBody: (exchange) => (exchange.reply === undefined ? { stage: (sink) => new Failing(sink, after, why) } : undefined) });
      bench.filters = [failing(0, refusal)];
      assert.equal((await ask()).status, 502);
      assert.deepEqual(lastLine(), { status: 502, reason: 'too_much' });
      bench.filters = [failing(1, refusal)];
      bench.backend = (_request, response) => {
        response.write('first');
        onPiece = () => response.end('second');
      };
      const { status, body, cut } = await ask();
      onPiece = undefined;
      bench.backend = (_request, response) => void response.end('whole');
      assert.deepEqual([status, body, cut], [200, 'first', true]);
      assert.deepEqual(lastLine(), { status: 200, reason: 'too_much' });
      bench.filters = [failing(0, new Error('broken'))];
      assert.equal((await ask()).status, 500);
      assert.match(bench.faults.at(-1) ?? '', /broken/);
      bench.filters = [
        collecting(() => {
          throw new Error('broken, too');
        }),
      ];
      assert.equal((await ask()).status, 500);
      assert.match(bench.faults.at(-1) ?? '', /broken, too/);
    });

    test('of the gateway itself pass the filters, as text and as bytes', async () => {
      const reply: Reply = { status: 418, reason: 'tea', contentType: 'text/plain', body: Buffer.from([0xff, 0x61]) };
      const answering = filterOf({
        onRequest: (exchange: Exchange) => {
          exchange.reply = reply;
          return Verdict.Answered;
        },
      });
      bench.filters = [answering];
      const plain = await ask();
      assert.deepEqual([plain.status, plain.body, plain.headers['content-length']], [418, '\xffa', '2']);
      bench.filters = [filterOf({ onResponseBody: () => capitals }), answering];
      assert.equal((await ask()).headers['content-length'], undefined);
      await bench.untilLines(2);
      assert.deepEqual(lastLine(), { status: 418, reason: 'tea' });
    });
  });

  describe(`bodies of requests over ${protocol}`, () => {
    const whole = (max = 100_000): Filter =>
      filterOf({
        maxRequestBody: max,
        onRequest: () => Verdict.NeedsBody,
        onRequestBody: (exchange, body) => {
          if (body.toString() === 'no') {
            exchange.reply = { status: 403, reason: 'no', detail: 'No.' };
            return Verdict.Answered;
          }
          exchange.requestBody = Buffer.from(`<${body}>`);
          return Verdict.Continue;
        },
      });

    test('are there before a filter decides, and may be replaced', async () => {
      bench.filters = [whole()];
      assert.equal((await ask({ method: 'POST', body: 'no' })).status, 403);
      assert.equal(bench.seen.length, 0);
      for (const body of ['yes', ['y', 'es'], 'x'.repeat(90_000)]) {
        assert.equal((await ask({ method: 'POST', body })).status, 200);
        const text = typeof body === 'string' ? body : body.join('');
        assert.equal(bench.seen.at(-1)?.body, `<${text}>`);
        assert.equal(bench.seen.at(-1)?.message.headers['content-length'], String(text.length + 2));
      }
      assert.equal((await ask()).status, 200);
      assert.equal(bench.seen.at(-1)?.body, '<>', 'a request without a body may be given one');
    });

    test('are 413 beyond the bound of the filter, by length and by count', async () => {
      bench.filters = [whole(10)];
      assert.equal((await ask({ method: 'POST', body: 'x'.repeat(11) })).status, 413);
      assert.equal((await ask({ method: 'POST', body: ['x'.repeat(10), 'y'] })).status, 413);
      assert.deepEqual(lastLine(), { status: 413, reason: 'body_too_large' });
      assert.equal((await ask({ method: 'POST', body: ['x'.repeat(9), 'y'] })).status, 200);
      assert.equal(bench.seen.length, 1);
    });

    test('go out again whole with a retry, however long, and in full to a mirror', async () => {
      bench.filters = [
        whole(300_000),
        filterOf({
          onRequest: (exchange) => {
            exchange.isMirrored = true;
            return Verdict.Continue;
          },
        }),
      ];
      bench.route = { retry: { attempts: 2, on: [503], backoff: 1, maxBackoff: 1, budgetPercent: 100, nonIdempotent: true } };
      bench.backend = (_request, response) => {
        response.statusCode = bench.seen.length < 3 ? 503 : 200;
        response.end();
      };
      const body = 'x'.repeat(200_000);
      assert.equal((await ask({ method: 'POST', body })).status, 200);
      assert.deepEqual(
        bench.seen.map((seen) => seen.body.length),
        [200_002, 200_002, 200_002],
      );
      bench.seen.length = 0;
      bench.mirror = true;
      bench.backend = (_request, response) => response.end();
      assert.equal((await ask({ method: 'POST', body: 'abc' })).status, 200);
      while (bench.seen.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
      assert.deepEqual(
        bench.seen.map((seen) => seen.body),
        ['<abc>', '<abc>'],
      );
    });

    test('pass a stage on their way, and are collected behind it', async () => {
      const staged = filterOf({
        onRequest: (exchange) => {
          exchange.requestStage = capitals;
          return Verdict.Continue;
        },
      });
      bench.filters = [staged];
      Capitals.maxHeld = 0;
      const body = 'abcdefgh'.repeat(250_000);
      assert.equal((await ask({ method: 'POST', body })).status, 200);
      assert.equal(bench.seen.at(-1)?.body, body.toUpperCase());
      assert.equal(bench.seen.at(-1)?.message.headers['transfer-encoding'], 'chunked');
      assert.ok(Capitals.maxHeld < 512 * 1024, `the stage was given ${Capitals.maxHeld} bytes at once`);
      bench.filters = [staged, whole()];
      assert.equal((await ask({ method: 'POST', body: ['ab', 'c'] })).status, 200);
      assert.equal(bench.seen.at(-1)?.body, '<ABC>');
      await bench.untilLines(2);
      assert.equal(Capitals.live, 0);
    });

    test('that a stage refuses are answered so', async () => {
      const why: Reply = { status: 413, reason: 'bomb', detail: 'Too large.' };
      bench.filters = [
        filterOf({
          onRequest: (exchange) => {
            exchange.requestStage = { stage: (sink) => new Failing(sink, 1, why) };
            return Verdict.Continue;
          },
        }),
      ];
      assert.equal((await ask({ method: 'POST', body: ['a'.repeat(100_000), 'b'.repeat(100_000)] })).status, 413);
      assert.deepEqual(lastLine(), { status: 413, reason: 'bomb' });
    });
  });
}

test('a body that was collected goes with a hedge, and to the fallback', async () => {
  bench.filters = [
    filterOf({
      maxRequestBody: 100,
      onRequest: () => Verdict.NeedsBody,
      onRequestBody: (exchange, body) => {
        exchange.requestBody = Buffer.from(`<${body}>`);
        return Verdict.Continue;
      },
    }),
  ];
  bench.route = { hedge: { after: 20, max: 1 }, retry: { attempts: 0, on: [], backoff: 1, maxBackoff: 1, budgetPercent: 100, nonIdempotent: false } };
  bench.backend = (_request, response) => {
    if (bench.seen.length > 1) response.end('second');
  };
  assert.equal((await askHttp1({ method: 'PUT', body: 'a' })).body, 'second');
  assert.deepEqual(
    bench.seen.map(({ body }) => body),
    ['<a>', '<a>'],
  );
  bench.seen.length = 0;
  bench.route = { fallback: { on: [503], upstream: 'shop/web/80' } };
  bench.backend = (_request, response) => {
    response.statusCode = bench.seen.length === 1 ? 503 : 200;
    response.end();
  };
  assert.equal((await askHttp1({ method: 'POST', body: 'a' })).status, 200);
  assert.deepEqual(
    bench.seen.map(({ body }) => body),
    ['<a>', '<a>'],
  );
});

test('filters see the gRPC bodies of gRPC-Web, and clients their trailers as a frame', async () => {
  bench.filters = [
    filterOf({ maxRequestBody: 100, onRequest: () => Verdict.NeedsBody, onRequestBody: () => Verdict.Continue, onResponseBody: () => capitals }),
  ];
  bench.backend = (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/grpc', trailer: 'grpc-status' });
    response.addTrailers({ 'grpc-status': '0' });
    response.end('answer');
  };
  const headers = { 'content-type': 'application/grpc-web-text', accept: 'application/grpc-web' };
  const { body, headers: found } = await askHttp1({ method: 'POST', headers, body: Buffer.from('question').toString('base64') });
  assert.equal(bench.seen[0]?.body, 'question');
  assert.equal(found['content-type'], 'application/grpc-web');
  assert.equal(body, 'ANSWER\x80\0\0\0\x10grpc-status: 0\r\n');
});

test('a client that sends its body too slowly for the filter that waits for it gets 408', async () => {
  bench.route = { timeouts: { request: 10_000, backendRequest: 10_000, idle: 200 } };
  bench.filters = [filterOf({ maxRequestBody: 100, onRequest: () => Verdict.NeedsBody, onRequestBody: () => assert.fail('whole') })];
  const socket = connectTcp(bench.http1, '127.0.0.1');
  socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab');
  const [answer] = await once(socket, 'data');
  assert.match(String(answer), /^HTTP\/1.1 408 /);
  socket.destroy();
});

test('a client that leaves ends what is collected, and what is in a stage', async () => {
  bench.backend = (_request, response) => {
    response.writeHead(200, { 'content-length': 50 });
    response.write('x');
  };
  for (const filter of [collecting(() => assert.fail('whole')), filterOf({ onResponseBody: () => capitals })]) {
    bench.filters = [filter];
    bench.seen.length = 0;
    bench.lines.length = 0;
    const socket = connectTcp(bench.http1, '127.0.0.1');
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    while (bench.seen.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const closed = once((bench.seen[0] as { message: IncomingMessage }).message.socket, 'close');
    socket.destroy();
    await closed;
    await bench.untilLines(1);
    assert.equal(lastLine().reason, 'client_gone');
    assert.equal(Capitals.live, 0);
  }
});

test('answers follow one another on a connection, changed or not', async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  bench.filters = [filterOf({ onResponseBody: () => capitals })];
  for (let index = 0; index < 3; index++) {
    const outgoing = request({ port: bench.http1, host: '127.0.0.1', agent }).end();
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    assert.equal((await gotOf(response, { status: 200, headers: {} })).body, 'OK');
  }
  agent.destroy();
});

/** Passes everything, and adds a mark at the end, at once. */
class Marking implements BodyStage {
  readonly #sink: BodySink;
  readonly #mark: Buffer;

  constructor(sink: BodySink, mark: string) {
    this.#sink = sink;
    this.#mark = Buffer.from(mark);
  }

  write(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    return this.#sink.write(bytes, start, end, stable);
  }

  end(): void {
    this.#sink.write(this.#mark, 0, this.#mark.length, true);
    this.#sink.end(undefined);
  }

  onWritable(): void {
    this.#sink.resume();
  }

  close(): void {}
}

/** Fails after so many pieces. */
class Failing extends Marking {
  readonly #failSink: BodySink;
  readonly #why: Reply | Error;
  #left: number;

  constructor(sink: BodySink, pieces: number, why: Reply | Error) {
    super(sink, '');
    this.#failSink = sink;
    this.#left = pieces;
    this.#why = why;
  }

  override write(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    if (this.#left-- > 0) return super.write(bytes, start, end, stable);
    this.#failSink.fail(this.#why);
    return true;
  }
}
