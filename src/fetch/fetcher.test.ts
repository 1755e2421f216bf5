import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { FetchError, Fetcher, type FetchRequest, judgingLookup, MAX_FETCHED_BYTES } from './fetcher.ts';

const fetcher = new Fetcher({ allowLoopback: true });
const strict = new Fetcher({ allowLoopback: false });
let server: Server;
let origin = '';
let requests: IncomingMessage[] = [];

const answers: Readonly<Record<string, (request: IncomingMessage, response: ServerResponse) => void>> = {
  '/plain?a=b': (request, response) => request.pipe(response.writeHead(201, { 'X-Two': ['1', '2'] })),
  '/moved': (_, response) => response.writeHead(302, { location: `${origin}/plain?a=b` }).end(),
  '/long': (_, response) => response.end(Buffer.alloc(10 * MAX_FETCHED_BYTES)),
  '/endless': (_, response) => {
    const more = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536)));
    };
    response.on('drain', more);
    more();
  },
  '/whole': (_, response) => response.end(Buffer.alloc(MAX_FETCHED_BYTES)),
  '/silent': () => {},
  '/stuck': (_, response) => void response.write('some'),
  '/cut': (_, response) => {
    response.writeHead(200, { 'content-length': '100' }).write('some');
    setImmediate(() => response.destroy());
  },
  '/fields': (_, response) => response.writeHead(200, { x: 'x'.repeat(100_000) }).end(),
};

before(async () => {
  server = createServer((request, response) => {
    requests.push(request);
    answers[request.url ?? '']?.(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

after(async () => {
  server.closeAllConnections();
  server.close();
  await Promise.all([fetcher.close(), strict.close()]);
});

async function failure(by: Fetcher, request: FetchRequest): Promise<string> {
  try {
    const { status } = await by.fetch(request);
    return String(status);
  } catch (error) {
    assert.ok(error instanceof FetchError, String(error));
    return error.reason;
  }
}

describe('calls of the gateway', () => {
  test('method, fields and body go out, status, fields and body come back', async () => {
    requests = [];
    const { status, headers, body } = await fetcher.fetch({
      method: 'POST',
      url: `${origin}/plain?a=b`,
      headers: { 'content-type': 'text/plain' },
      body: 'hello',
    });
    assert.equal(status, 201);
    assert.deepEqual(headers['x-two'], ['1', '2']);
    assert.equal(body.toString(), 'hello');
    assert.equal(requests[0]?.headers['content-type'], 'text/plain');
  });

  test('redirects are not followed', async () => {
    requests = [];
    const { status } = await fetcher.fetch({ url: `${origin}/moved` });
    assert.equal(status, 302);
    assert.equal(requests.length, 1);
  });

  for (const [path, reason] of [
    ['/long', 'too_large'],
    ['/endless', 'too_large'],
    ['/whole', '200'],
    ['/fields', 'too_large'],
    ['/cut', 'broken'],
    ['/silent', 'timed_out'],
    ['/stuck', 'timed_out'],
  ] as const) {
    test(`${path}: ${reason}`, async () =>
      assert.equal(await failure(fetcher, { url: `${origin}${path}`, timeout: reason === 'timed_out' ? 100 : 5000 }), reason));
  }

  test('a caller that goes away ends it', async () => {
    const gone = new AbortController();
    const pending = failure(fetcher, { url: `${origin}/silent`, signal: gone.signal });
    gone.abort();
    assert.equal(await pending, 'aborted');
  });

  test('nobody listens', async () => {
    const closed = createTcpServer();
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
    const { port } = closed.address() as AddressInfo;
    await new Promise((resolve) => closed.close(resolve));
    assert.equal(await failure(fetcher, { url: `http://127.0.0.1:${port}/` }), 'connect_failed');
  });

  test('a server without TLS where TLS is asked for', async () => {
    assert.equal(await failure(fetcher, { url: `${origin.replace('http', 'https')}/plain` }), 'tls_failed');
  });

  test('a name that no resolver knows', async () => assert.equal(await failure(fetcher, { url: 'http://nobody.invalid/' }), 'unresolved'));

  for (const url of ['', 'keys', 'file:///etc/passwd', 'ftp://id.example.com/', 'http://user@id.example.com/', 'http://:secret@id.example.com/']) {
    test(`"${url}" is no URL to call`, async () => assert.equal(await failure(fetcher, { url }), 'bad_url'));
  }
});

describe('where calls may not lead', () => {
  const never = [
    'http://169.254.169.254/latest/meta-data/',
    'http://[fe80::1]/',
    'http://0.0.0.0/',
    'http://[::]/',
    'http://0xa9fea9fe/',
    'http://2852039166/',
    'http://[::ffff:169.254.169.254]/',
    'http://[64:ff9b::a9fe:a9fe]/',
    'http://[fd00:ec2::254]/',
    'http://255.255.255.255/',
  ];
  for (const url of never) test(`${url}, never`, async () => assert.equal(await failure(fetcher, { url }), 'forbidden_address'));

  for (const host of ['127.0.0.1', '127.1', '0x7f.1', '[::1]', '[::ffff:127.0.0.1]', 'localhost']) {
    test(`${host}, unless loopback is allowed`, async () => {
      const { port } = server.address() as AddressInfo;
      requests = [];
      assert.equal(await failure(strict, { url: `http://${host}:${port}/moved` }), 'forbidden_address');
      assert.equal(requests.length, 0);
      // The server listens on IPv4 alone.
      if (!host.includes('::1')) assert.equal(await failure(fetcher, { url: `http://${host}:${port}/moved` }), '302');
    });
  }

  test('of the addresses of a name, those that are allowed are connected to', async () => {
    const check = (allowLoopback: boolean): Promise<unknown> =>
      new Promise((resolve) => judgingLookup(allowLoopback)('localhost', { all: true, family: 4 }, (error, addresses) => resolve(error ?? addresses)));
    assert.deepEqual(await check(true), [{ address: '127.0.0.1', family: 4 }]);
    const refused = await check(false);
    assert.ok(refused instanceof FetchError && refused.reason === 'forbidden_address');
  });
});
