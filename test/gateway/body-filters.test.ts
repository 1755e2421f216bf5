/** Filters of bodies on the built program: compression, decompression, error pages, bounds of answers, CORS. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { before, describe, test } from 'node:test';
import {
  brotliCompressSync,
  brotliDecompressSync,
  createGunzip,
  gunzipSync,
  gzipSync,
  constants as zlib,
  zstdCompressSync,
  zstdDecompressSync,
} from 'node:zlib';
import { Backend } from './backend.ts';
import { get, RawConnection, send } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { Http2Client } from './http2-client.ts';
import { wholeFile } from './lifetime.ts';
import { service } from './manifests.ts';

const HOST = { host: 'shop.test' };
const JSON_BODY = JSON.stringify(Array.from({ length: 400 }, (_, id) => ({ id, name: `product ${id}`, price: (id * 7919) % 1000 })));
const LARGE_BODY = JSON_BODY.repeat(20);
const CODINGS = {
  gzip: { encode: gzipSync, decode: gunzipSync },
  br: { encode: (bytes: Buffer) => brotliCompressSync(bytes, { params: { [zlib.BROTLI_PARAM_QUALITY]: 5 } }), decode: brotliDecompressSync },
  zstd: { encode: zstdCompressSync, decode: zstdDecompressSync },
} as const;

const MANIFEST = `
apiVersion: tidegate.dev/v1alpha1
kind: ApiRoute
metadata: { name: shop, namespace: shop }
spec:
  hostnames: [shop.test]
  rules:
    - matches: [{ path: { value: /plain } }]
      filters: { compression: {} }
      backendRefs: [{ name: web, port: 80 }]
    - matches: [{ path: { value: /decoded } }]
      filters: { decompression: { maxBytes: 600000, maxRatio: 400 }, limits: { maxRequestBodyBytes: 20000000 } }
      backendRefs: [{ name: web, port: 80 }]
    - matches: [{ path: { value: /bounded } }]
      filters: { limits: { maxResponseBodyBytes: 1000 }, compression: { minBytes: 0 } }
      backendRefs: [{ name: web, port: 80 }]
    - matches: [{ path: { value: /pages } }]
      filters:
        compression: { minBytes: 0 }
        errorPages: { pages: [{ statuses: ["400-599"], body: <h1>sorry</h1> }], intercept: true }
        limits: { maxRequestBodyBytes: 10 }
      backendRefs: [{ name: web, port: 80 }]
    - matches: [{ path: { value: /own } }]
      filters:
        errorPages: { pages: [{ statuses: ["400-599"], body: <h1>sorry</h1> }] }
        limits: { maxRequestBodyBytes: 10 }
      backendRefs: [{ name: web, port: 80 }]
    - matches: [{ path: { value: /cors }, methods: [PUT] }]
      filters:
        cors: { allowOrigins: ["https://*.example.com"], allowMethods: [PUT], allowHeaders: [x-a], allowCredentials: true }
        ipAccess: { allow: [127.0.0.0/8] }
        limits: { maxRequestBodyBytes: 10 }
      backendRefs: [{ name: web, port: 80 }]
    - name: guarded
      matches: [{ path: { value: /guarded } }]
      filters:
        cors: { allowOrigins: ["https://www.example.com"], allowHeaders: [x-api-key] }
        errorPages: { pages: [{ statuses: ["400-499"], body: <h1>sorry</h1> }] }
      backendRefs: [{ name: web, port: 80 }]
---
apiVersion: tidegate.dev/v1alpha1
kind: AuthPolicy
metadata: { name: guarded, namespace: shop }
spec:
  targetRefs: [{ group: tidegate.dev, kind: ApiRoute, name: shop, sectionName: guarded }]
  methods: [{ apiKey: { from: [{ header: x-api-key }] } }]
`;

/** An answer as bytes. */
interface Got {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly cut: boolean;
}

let gateway: GatewayUnderTest;
let backend: Backend;
before(async () => {
  backend = await Backend.start(wholeFile);
  gateway = await GatewayUnderTest.start(wholeFile, { 'services.yaml': service('web', [backend.port], 'shop'), 'shop.yaml': MANIFEST }, ['--workers', '1']);
});

function answer(body: string, fields = 'Content-Type: application/json\r\n', status = '200 OK'): void {
  backend.respond = () => `HTTP/1.1 ${status}\r\n${fields}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

/** Without either of them in a failure's message. */
function assertSame(got: Buffer, wanted: string): void {
  const text = got.toString('latin1');
  let at = 0;
  while (at < wanted.length && text[at] === wanted[at]) at++;
  assert.ok(text === wanted, `${text.length} of ${wanted.length} bytes, the first other one at ${at}`);
}

async function fetchBytes(path: string, headers: Record<string, string> = {}, method = 'GET', body?: Buffer): Promise<Got> {
  const outgoing = request({ host: '127.0.0.1', port: gateway.http, path, method, headers: { ...HOST, ...headers }, agent: false });
  outgoing.on('error', () => {});
  outgoing.end(body);
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  let cut = false;
  try {
    for await (const chunk of response) chunks.push(chunk as Buffer);
  } catch {
    cut = true;
  }
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks), cut };
}

describe('compression', () => {
  for (const [coding, { decode }] of Object.entries(CODINGS)) {
    test(`${coding}: small answers keep a length, large ones stream, by HTTP/1.1 and HTTP/2`, async () => {
      answer(JSON_BODY.slice(0, 10_000), 'Content-Type: application/json\r\nETag: "v1"\r\nAccept-Ranges: bytes\r\n');
      const small = await fetchBytes('/plain', { 'accept-encoding': coding });
      assert.deepEqual(
        [small.headers['content-encoding'], small.headers.vary, small.headers.etag, small.headers['accept-ranges'], Number(small.headers['content-length'])],
        [coding, 'Accept-Encoding', 'W/"v1"', undefined, small.body.length],
      );
      assert.ok(small.body.length < 4000);
      assert.equal(decode(small.body).toString(), JSON_BODY.slice(0, 10_000));
      answer(LARGE_BODY);
      const large = await fetchBytes('/plain', { 'accept-encoding': coding });
      assert.deepEqual([large.headers['transfer-encoding'], large.headers['content-length'], large.cut], ['chunked', undefined, false]);
      assertSame(decode(large.body), LARGE_BODY);
      const http2 = new Http2Client(wholeFile, `http://127.0.0.1:${gateway.http}`);
      const over = await http2.send('/plain', { headers: { ':authority': 'shop.test', 'accept-encoding': coding } });
      assert.equal(over.headers['content-encoding'], coding);
      assertSame(decode(Buffer.from(over.body, 'latin1')), LARGE_BODY);
    });
  }

  test('HEAD has the head of GET, and no body', async () => {
    backend.respond = () => `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5000\r\nETag: "a"\r\n\r\n`;
    const { headers, body } = await fetchBytes('/plain', { 'accept-encoding': 'gzip' }, 'HEAD');
    assert.deepEqual([headers['content-encoding'], headers['content-length'], headers.etag, body.length], ['gzip', undefined, 'W/"a"', 0]);
  });

  test('an event stream comes event by event, a slow answer piece by piece', async () => {
    for (const type of ['text/event-stream', 'text/plain']) {
      backend.respond = (_request, socket) => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n`);
        socket.write('e\r\ndata: first\n\n\n\r\n');
        return undefined;
      };
      const outgoing = request({ host: '127.0.0.1', port: gateway.http, path: '/plain', headers: { ...HOST, 'accept-encoding': 'gzip' }, agent: false }).end();
      const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
      const plain = response.pipe(createGunzip());
      plain.on('error', () => {});
      const [first] = await once(plain, 'data');
      assert.equal(String(first), 'data: first\n\n\n');
      for (const socket of backend.sockets) socket.write('f\r\ndata: second\n\n\n\r\n0\r\n\r\n');
      const [second] = await once(plain, 'data');
      assert.equal(String(second), 'data: second\n\n\n');
    }
  });

  test('an answer that breaks off is cut, not ended', async () => {
    backend.respond = (_request, socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n${'x'.repeat(50_000)}`);
      setTimeout(() => socket.destroy(), 50);
      return undefined;
    };
    assert.equal((await fetchBytes('/plain', { 'accept-encoding': 'gzip' })).cut, true);
  });

  test('is in the metrics', async () => {
    const { body } = await get(gateway.admin, '/metrics');
    for (const coding of Object.keys(CODINGS)) {
      assert.match(body, new RegExp(`tidegate_compression_responses_total\\{coding="${coding}"\\} [1-9]`));
      assert.match(body, new RegExp(`tidegate_compression_bytes_total\\{coding="${coding}",direction="out"\\} [1-9]`));
    }
  });
});

describe('decompression', () => {
  const post = async (coding: string, body: Buffer): Promise<Got> =>
    fetchBytes('/decoded', { 'content-encoding': coding, 'content-length': String(body.length) }, 'POST', body);

  for (const [coding, { encode }] of Object.entries(CODINGS)) {
    test(`${coding}: the backend gets the plain body`, async () => {
      answer('ok');
      const before = backend.requests.length;
      const text = randomBytes(250_000).toString('hex');
      assert.equal((await post(coding, encode(Buffer.from(text)))).status, 200);
      const seen = backend.requests[before];
      assert.ok(seen?.body === text);
      assert.doesNotMatch(seen.head, /content-(encoding|length)/i);
    });

    test(`${coding}: a bomb is 413 long before it is read`, async () => {
      const before = backend.requests.length;
      const { status } = await post(coding, encode(Buffer.alloc(40_000_000)));
      assert.equal(status, 413);
      assert.equal(backend.requests.length, before, 'no backend has taken it for whole');
      // Within the ratio, and beyond what a body may have.
      const noise = randomBytes(700_000);
      assert.equal((await post(coding, encode(noise))).status, 413);
    });

    test(`${coding}: what is cut, broken, or followed by something is 400`, async () => {
      const good = encode(Buffer.from(JSON_BODY));
      const broken = Buffer.from(good);
      broken.fill(0xff, 8, 40);
      for (const body of [good.subarray(0, good.length - 10), broken, Buffer.concat([good, Buffer.from('and more of it')])]) {
        assert.equal((await post(coding, body)).status, 400);
      }
    });
  }

  test('codings that are stacked or unknown are 415', async () => {
    for (const coding of ['gzip, gzip', 'deflate', 'gzip, identity']) {
      const { status, headers } = await post(coding, gzipSync('x'));
      assert.deepEqual([status, headers['accept-encoding']], [415, 'zstd, br, gzip']);
    }
  });

  test('bombs take no memory', async () => {
    const resident = async (): Promise<number> => Number(/^process_resident_memory_bytes (\d+)/m.exec((await get(gateway.admin, '/metrics')).body)?.[1]);
    const bomb = gzipSync(Buffer.alloc(100_000_000));
    const before = await resident();
    const answers = await Promise.all(Array.from({ length: 20 }, () => post('gzip', bomb)));
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [413]);
    const grown = (await resident()) - before;
    assert.ok(grown < 60_000_000, `${grown} bytes more`);
    assert.match((await get(gateway.admin, '/metrics')).body, /tidegate_decompression_requests_total\{result="decompressed_body_too_large"\} [1-9]/);
  });
});

describe('bounds of answers', () => {
  test('a longer one is 502 by its length, and cut where it has none', async () => {
    answer('x'.repeat(1000));
    assert.equal((await fetchBytes('/bounded')).status, 200);
    answer('x'.repeat(1001));
    assert.equal((await fetchBytes('/bounded')).status, 502);
    backend.respond = (_request, socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n1f4\r\n');
      socket.write(`${'x'.repeat(500)}\r\n`);
      setTimeout(() => socket.write(`1f5\r\n${'x'.repeat(501)}\r\n0\r\n\r\n`), 50);
      return undefined;
    };
    const { status, cut, body } = await fetchBytes('/bounded');
    assert.deepEqual([status, cut, body.length <= 1000], [200, true, true]);
    const { body: metrics } = await get(gateway.admin, '/metrics');
    assert.match(metrics, /tidegate_responses_cut_total 2/);
  });
});

describe('error pages', () => {
  test('take the place of errors of the gateway, and of the backend where that is wanted', async () => {
    const long = await fetchBytes('/own', { 'content-length': '11' }, 'POST', Buffer.alloc(11));
    assert.deepEqual([long.status, long.headers['content-type'], String(long.body)], [413, 'text/html; charset=utf-8', '<h1>sorry</h1>']);
    answer('{"error":1}', 'Content-Type: application/json\r\nRetry-After: 7\r\nETag: "a"\r\n', '503 Service Unavailable');
    assert.equal(String((await fetchBytes('/own')).body), '{"error":1}');
    const page = await fetchBytes('/pages');
    assert.deepEqual([page.status, String(page.body), page.headers['retry-after'], page.headers.etag], [503, '<h1>sorry</h1>', '7', undefined]);
    const encoded = await fetchBytes('/pages', { 'accept-encoding': 'gzip' });
    assert.equal(String(gunzipSync(encoded.body)), '<h1>sorry</h1>');
    answer('x'.repeat(100_000), 'Content-Type: text/plain\r\n', '500 Internal Server Error');
    assert.deepEqual([(await fetchBytes('/pages')).status, String((await fetchBytes('/pages')).body)], [500, '<h1>sorry</h1>']);
    answer('who are you', 'WWW-Authenticate: Basic\r\n', '401 Unauthorized');
    assert.equal(String((await fetchBytes('/pages')).body), 'who are you');
  });

  test('HEAD has the head of the page, not that of the body in whose place it would be', async () => {
    answer('', 'Content-Type: text/plain\r\nETag: "a"\r\n', '503 Service Unavailable');
    const own = await fetchBytes('/own', { 'content-length': '11' }, 'HEAD', Buffer.alloc(11));
    const page = await fetchBytes('/pages', {}, 'HEAD');
    assert.deepEqual(
      [own, page].map(({ status, headers, body }) => [status, headers['content-type'], headers['content-length'], headers.etag, body.length]),
      [
        [413, 'text/html; charset=utf-8', '14', undefined, 0],
        [503, 'text/html; charset=utf-8', '14', undefined, 0],
      ],
    );
  });
});

describe('CORS', () => {
  const origin = { ...HOST, origin: 'https://www.example.com' };

  test('a preflight is answered for a rule that takes other methods; a refused one is told nothing', async () => {
    const before = backend.requests.length;
    const asked = { 'access-control-request-method': 'PUT', 'access-control-request-headers': 'x-a' };
    const { status, headers } = await send(gateway.http, '/cors', { method: 'OPTIONS', headers: { ...origin, ...asked } });
    assert.equal(status, 204);
    assert.deepEqual(
      [headers['access-control-allow-origin'], headers['access-control-allow-methods'], headers['access-control-allow-credentials']],
      ['https://www.example.com', 'PUT', 'true'],
    );
    const refused = await send(gateway.http, '/cors', { method: 'OPTIONS', headers: { ...HOST, origin: 'https://evil.test', ...asked } });
    assert.deepEqual([refused.status, Object.keys(refused.headers).filter((name) => name.startsWith('access-control'))], [204, []]);
    assert.equal(backend.requests.length, before);
    // No preflight: there is no rule for it.
    assert.equal((await send(gateway.http, '/cors', { method: 'OPTIONS', headers: HOST })).status, 404);
  });

  test('answers and errors of the gateway say who may read them, and not what the backend says', async () => {
    answer('ok', 'Access-Control-Allow-Origin: *\r\nVary: Accept\r\n');
    const { headers } = await send(gateway.http, '/cors', { method: 'PUT', headers: origin });
    assert.deepEqual([headers['access-control-allow-origin'], headers.vary], ['https://www.example.com', 'Accept, Origin']);
    const other = await send(gateway.http, '/cors', { method: 'PUT', headers: HOST });
    assert.deepEqual([other.headers['access-control-allow-origin'], other.headers.vary], [undefined, 'Accept, Origin']);
    const long = await send(gateway.http, '/cors', { method: 'PUT', headers: origin, body: 'x'.repeat(11) });
    assert.deepEqual([long.status, long.headers['access-control-allow-origin']], [413, 'https://www.example.com']);
  });
});

test('a route with an AuthPolicy: preflights need no key, 401 says who may read it and gets no page', async () => {
  const headers = { ...HOST, origin: 'https://www.example.com' };
  const asked = { 'access-control-request-method': 'GET', 'access-control-request-headers': 'x-api-key' };
  const preflight = await send(gateway.http, '/guarded', { method: 'OPTIONS', headers: { ...headers, ...asked } });
  assert.deepEqual([preflight.status, preflight.headers['access-control-allow-headers']], [204, 'x-api-key']);
  const refused = await send(gateway.http, '/guarded', { headers });
  assert.deepEqual(
    [refused.status, refused.headers['access-control-allow-origin'], refused.headers['content-type']],
    [401, 'https://www.example.com', 'application/problem+json'],
  );
});

test('a client that leaves while its answer is compressed leaves nothing behind', async () => {
  backend.respond = (_request, socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
    return undefined;
  };
  const before = backend.sockets.size;
  const client = await RawConnection.open(wholeFile, gateway.http);
  client.write('GET /plain HTTP/1.1\r\nHost: shop.test\r\nAccept-Encoding: br\r\n\r\n');
  await client.until((received) => received.includes('content-encoding: br') || received.includes('Content-Encoding: br'));
  client.close();
  await backend.until(() => backend.sockets.size <= before);
});
