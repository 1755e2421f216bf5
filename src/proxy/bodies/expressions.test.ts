/** Transforms and header values that expressions make, on both sides' sockets. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http';
import { connect } from 'node:http2';
import { describe, test } from 'node:test';
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { contextOf } from '../../policies/context.fixture.ts';
import { requestHeaderModifier } from '../../policies/request-header-modifier.ts';
import { responseHeaderModifier } from '../../policies/response-header-modifier.ts';
import { transform } from '../../policies/transform/transform.ts';
import type { HeaderModifier } from '../../snapshot/filters.ts';
import type { Transform } from '../../snapshot/transform.ts';
import { startBench } from './bench.fixture.ts';

const bench = await startBench();

interface Got {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

interface Ask {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string | Buffer;
}

/** Each on a connection of its own: the bench compiles its filters once a connection. */
async function ask({ method = 'GET', path = '/', headers = {}, body }: Ask = {}): Promise<Got> {
  const sent = request({ host: '127.0.0.1', port: bench.http1, method, path, headers: { host: 'a.test', ...headers }, agent: new Agent() });
  sent.end(body);
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  return { status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(chunks).toString('utf8') };
}

async function askHttp2(path: string, headers: OutgoingHttpHeaders, body: string): Promise<Got> {
  const session = connect(`http://127.0.0.1:${bench.http2}`);
  try {
    const stream = session.request({ ':path': path, ':authority': 'a.test', ...headers });
    stream.end(body);
    const [got] = (await once(stream, 'response')) as [Record<string, unknown>];
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    return { status: Number(got[':status']), headers: got, body: Buffer.concat(chunks).toString('utf8') };
  } finally {
    session.close();
  }
}

interface Given {
  readonly status?: number;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string | Buffer;
}

function use(spec: Transform, given: Given = {}): void {
  bench.filters = [transform.compile(spec, contextOf())];
  answerWith(given);
}

function answerWith({ status = 200, headers = {}, body = '' }: Given): void {
  bench.seen.length = 0;
  bench.backend = (_request, response) => {
    response.writeHead(status, headers);
    response.end(body);
  };
}

const json = { 'content-type': 'application/json' };
const seen = () => bench.seen.map(({ message, body }) => ({ body, headers: message.headers }));

describe('bodies of requests', () => {
  const spec: Transform = { request: { body: "{'order': {'id': request.body.id, 'by': request.headers['x-user']}, 'n': size(request.body.items)}" } };
  const order = { method: 'POST', headers: { ...json, 'x-user': 'ada' }, body: '{"id":9007199254740993,"items":[1,2]}' };

  test('become what the expression gives, with its length, and without what spoke of the old one', async () => {
    use(spec);
    const etag = { 'content-md5': 'x', 'content-digest': 'sha-256=:x:', 'repr-digest': 'sha-256=:x:', 'content-type': 'text/json; charset=utf-8' };
    assert.equal((await ask({ ...order, headers: { ...order.headers, ...etag } })).status, 200);
    const [got] = seen();
    assert.equal(got?.body, '{"order":{"id":9007199254740993,"by":"ada"},"n":2}');
    assert.equal(got?.headers['content-length'], String(got?.body.length));
    assert.equal(got?.headers['content-type'], 'application/json');
    for (const name of ['content-md5', 'content-digest', 'repr-digest', 'transfer-encoding']) assert.equal(got?.headers[name], undefined);
  });

  test('by HTTP/2 as well', async () => {
    use(spec);
    await askHttp2('/', { ':method': 'POST', 'x-user': 'ö' }, '{"id":1,"items":[]}');
    assert.equal(seen()[0]?.body, Buffer.from('{"order":{"id":1,"by":"ö"},"n":0}').toString('latin1'));
  });

  for (const [coding, encode] of [
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
    ['deflate', deflateSync],
    ['zstd', zstdCompressSync],
  ] as const) {
    test(`are decoded first: ${coding}`, async () => {
      use(spec);
      await ask({ ...order, headers: { ...order.headers, 'content-encoding': coding }, body: encode(order.body) });
      assert.equal(seen()[0]?.body, '{"order":{"id":9007199254740993,"by":"ada"},"n":2}');
      assert.equal(seen()[0]?.headers['content-encoding'], undefined);
    });
  }

  /** A frame of zstd with a window of 128 MiB, which its decoder would have to have, and one raw block (RFC 8878 section 3.1.1). */
  const LARGE_WINDOW = Buffer.concat([
    Buffer.from('28b52ffd0088', 'hex'),
    Buffer.from([(order.body.length << 3) | 1, order.body.length >> 5, 0]),
    Buffer.from(order.body),
  ]);
  const bombs = gzipSync(Buffer.alloc(2 * 1024 * 1024, '0'));
  for (const [name, change, status] of [
    ['no JSON', { body: '{"id":' }, 400],
    ['no UTF-8', { body: Buffer.from('{"id":"\xff"}', 'latin1') }, 400],
    ['nothing', { body: '' }, 400],
    ['what is no gzip', { headers: { ...order.headers, 'content-encoding': 'gzip' } }, 400],
    ['an unknown coding', { headers: { ...order.headers, 'content-encoding': 'snappy' } }, 415],
    ['two codings', { headers: { ...order.headers, 'content-encoding': 'gzip, gzip' } }, 415],
    ['a coding of the prototype', { headers: { ...order.headers, 'content-encoding': 'constructor' } }, 415],
    ['too long', { body: `{"id":"${'x'.repeat(1024 * 1024)}"}` }, 413],
    ['more memory than a client may ask for', { headers: { ...order.headers, 'content-encoding': 'zstd' }, body: LARGE_WINDOW }, 400],
    ['too long when decoded', { headers: { ...order.headers, 'content-encoding': 'gzip' }, body: bombs }, 413],
    ['without what the expression reads', { body: '{"id":1}' }, 503],
    ['without a header that it reads', { headers: json }, 503],
  ] as const) {
    test(`are refused: ${name}`, async () => {
      use(spec);
      const { status: got, headers } = await ask({ ...order, ...change });
      assert.deepEqual([got, headers['content-type'], seen()], [status, 'application/problem+json', []]);
    });
  }

  test('that are not there stay so, but for methods that have one', async () => {
    use({ request: { body: "{'made': true}" } });
    await ask();
    await ask({ method: 'DELETE' });
    await ask({ method: 'POST' });
    assert.deepEqual(
      seen().map(({ body }) => body),
      ['', '', '{"made":true}'],
    );
  });
});

describe('answers', () => {
  const spec: Transform = {
    response: {
      body: "{'items': response.body.data.map(d, d.id), 'was': response.status, 'by': request.method}",
      status: 'response.status == 201 ? 200 : response.status',
      headers: [
        { name: 'x-total', expression: 'size(response.body.data)' },
        { name: 'x-gone', expression: 'null' },
        { name: 'x-type', expression: "response.headers['content-type']" },
      ],
    },
  };
  const headers = { ...json, etag: '"1"', 'content-md5': 'x', 'accept-ranges': 'bytes', 'x-gone': '1', 'x-kept': '2' };
  const body = '{"data":[{"id":9007199254740993},{"id":"ä"}]}';

  test('become what the expressions give, which see them as they were', async () => {
    use(spec, { status: 201, headers, body });
    const got = await ask();
    assert.equal(got.status, 200);
    assert.equal(got.body, '{"items":[9007199254740993,"ä"],"was":201,"by":"GET"}');
    assert.deepEqual(
      ['content-length', 'content-type', 'x-total', 'x-type', 'x-kept', 'x-gone', 'etag', 'content-md5', 'accept-ranges'].map((name) => got.headers[name]),
      [String(Buffer.byteLength(got.body)), 'application/json', '2', 'application/json', '2', undefined, undefined, undefined, undefined],
    );
  });

  test('by HTTP/2 as well, of a backend that sends chunks', async () => {
    use(spec);
    bench.backend = (_request, response) => {
      response.writeHead(200, headers);
      response.write(body.slice(0, 10));
      setImmediate(() => response.end(body.slice(10)));
    };
    const got = await askHttp2('/', { ':method': 'POST' }, 'x');
    assert.deepEqual([got.status, JSON.parse(got.body).by, got.headers['x-total']], [200, 'POST', '2']);
  });

  for (const [coding, encode] of [
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
  ] as const) {
    test(`are decoded first: ${coding}`, async () => {
      use(spec, { headers: { ...headers, 'content-encoding': coding }, body: encode(body) });
      const got = await ask({ headers: { 'accept-encoding': coding } });
      assert.deepEqual([got.headers['x-total'], got.headers['content-encoding']], ['2', undefined]);
    });
  }

  for (const [name, given, status] of [
    ['no JSON', { body: '<html>' }, 502],
    ['nothing', { body: '' }, 502],
    ['an unknown coding', { headers: { 'content-encoding': 'snappy' }, body }, 502],
    ['no gzip', { headers: { 'content-encoding': 'gzip' }, body }, 502],
    ['too long', { body: `{"data":"${'x'.repeat(1024 * 1024)}"}` }, 502],
    ['too long when decoded', { headers: { 'content-encoding': 'gzip' }, body: gzipSync(Buffer.alloc(2 * 1024 * 1024, '0')) }, 502],
    ['without what is read', { headers, body: '{}' }, 503],
  ] as const) {
    test(`that can't be used: ${name}`, async () => {
      use(spec, given);
      const got = await ask();
      assert.deepEqual([got.status, got.headers['content-type'], got.headers['x-total']], [status, 'application/problem+json', undefined]);
      assert.doesNotMatch(got.body, /data|JSON|html/);
    });
  }

  test('a status out of range is a fault of the expression', async () => {
    use({ response: { status: 'int(response.body.status)', headers: [] } }, { body: '{"status":99}' });
    assert.equal((await ask()).status, 503);
    answerWith({ body: '{"status":204}' });
    const none = await ask();
    assert.deepEqual([none.status, none.body], [204, '']);
    answerWith({ headers: { etag: '"1"' }, body: '{"status":404}' });
    const other = await ask();
    assert.deepEqual([other.status, other.body, other.headers.etag], [404, '{"status":404}', '"1"']);
  });

  test('a header value with a line end is none', async () => {
    use({ response: { headers: [{ name: 'x-a', expression: 'response.body.a' }] } }, { body: '{"a":"1\\r\\nx-evil: 1"}' });
    const got = await ask();
    assert.deepEqual([got.status, got.headers['x-evil']], [503, undefined]);
  });

  test('without a body keep their status, and have headers that need none', async () => {
    const both: Transform = {
      response: { body: 'response.body', headers: [...(spec.response?.headers ?? []), { name: 'x-method', expression: 'request.method' }] },
    };
    use(both, { status: 204 });
    bench.backend = (_request, response) => response.writeHead(204, { 'content-type': 'a/b' }).end();
    const none = await ask();
    assert.deepEqual([none.status, none.body, none.headers['x-method'], none.headers['x-total']], [204, '', 'GET', undefined]);
    answerWith({ headers: { ...headers, 'content-length': '45' } });
    const head = await ask({ method: 'HEAD' });
    assert.deepEqual(
      [head.status, head.headers['x-method'], head.headers.etag, head.headers['content-length'], head.headers['content-type']],
      [200, 'HEAD', undefined, undefined, 'application/json'],
    );
    answerWith({ status: 304, headers });
    const unchanged = await ask({ headers: { 'if-none-match': '"1"' } });
    assert.deepEqual([unchanged.status, unchanged.body, unchanged.headers['x-method']], [304, '', 'GET']);
  });

  test('that are streams of events pass as they come', async () => {
    use(spec, { headers: { 'content-type': 'text/event-stream' }, body: 'data: 1\n\n' });
    assert.equal((await ask()).body, 'data: 1\n\n');
  });

  test('that are asked for in part are whole', async () => {
    use(spec, { headers, body });
    assert.equal((await ask({ headers: { range: 'bytes=0-3' } })).status, 200);
    assert.equal(seen()[0]?.headers.range, undefined);
  });

  test('may be made of the request, whose body is looked at before the backend is asked', async () => {
    use({ response: { body: "{'sent': request.body, 'got': response.body}", headers: [] } }, { body: '[2]' });
    assert.equal((await ask({ method: 'POST', body: '{"a":1}' })).body, '{"sent":{"a":1},"got":[2]}');
    assert.equal(seen()[0]?.body, '{"a":1}');
    assert.equal((await ask()).body, '{"sent":null,"got":[2]}');
    bench.seen.length = 0;
    assert.equal((await ask({ method: 'POST', body: '{' })).status, 400);
    assert.equal(seen().length, 0);
  });

  test('of the gateway itself stay what they are', async () => {
    use(spec);
    bench.backend = (_request, response) => response.destroy();
    const got = await ask({ method: 'POST', body: 'x' });
    assert.deepEqual([got.status, got.headers['content-type']], [502, 'application/problem+json']);
  });
});

describe('header values', () => {
  const edits = (edit: { name: string; expression: string }): HeaderModifier => ({ set: [edit], add: [], remove: [] });

  test('of requests and answers are made by expressions', async () => {
    bench.filters = [
      requestHeaderModifier.compile(
        edits({ name: 'x-where', expression: "request.host + request.path + '?' + request.query.q + request.client.ip" }),
        contextOf(),
      ),
      responseHeaderModifier.compile(
        edits({ name: 'x-status', expression: "string(response.status) + response.headers['x-b'] + request.cookies.c" }),
        contextOf(),
      ),
    ];
    answerWith({ status: 201, headers: { 'x-b': 'b' } });
    const got = await ask({ path: '/p?q=1', headers: { cookie: 'c=d' } });
    assert.deepEqual([got.status, got.headers['x-status'], seen()[0]?.headers['x-where']], [201, '201bd', 'a.test/p?1127.0.0.1']);
    const failing = await ask({ headers: { cookie: 'c=d' } });
    assert.deepEqual([failing.status, failing.headers['content-type'], bench.seen.length], [503, 'application/problem+json', 1]);
  });

  test("of an answer that can't be made are 503, with nothing of the answer; the gateway's own errors stay what they are", async () => {
    bench.filters = [responseHeaderModifier.compile(edits({ name: 'x-a', expression: "response.headers['x-b']" }), contextOf())];
    answerWith({ headers: { 'x-secret': '1' }, body: 'secret' });
    const lines = bench.lines.length;
    const got = await ask();
    assert.deepEqual([got.status, got.headers['x-secret'], got.body.includes('secret')], [503, undefined, false]);
    await bench.untilLines(lines + 1);
    assert.equal(bench.lines.at(-1)?.reason, 'expression_failed');
    bench.backend = (_request, response) => response.destroy();
    assert.equal((await ask({ method: 'POST', body: 'x' })).status, 502);
    answerWith({ headers: { 'x-b': 'fine' } });
    assert.equal((await ask()).headers['x-a'], 'fine');
    assert.deepEqual(bench.faults, []);
  });
});
