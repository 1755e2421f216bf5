import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { ApiClient, type WatchEvent } from './api-client.ts';
import type { ClusterAccess } from './cluster-access.ts';
import { ApiError, ConnectionError } from './errors.ts';

type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void;

/** A client of a server on a free port that answers as `handler` says. */
async function clientOf(t: TestContext, handler: Handler, access: Partial<ClusterAccess> = {}): Promise<ApiClient> {
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8');
    request.on('data', (part: string) => {
      body += part;
    });
    request.on('end', () => handler(request, response, body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = new ApiClient({
    server: `http://127.0.0.1:${(server.address() as AddressInfo).port}/base`,
    namespace: 'here',
    credentials: async () => ({ headers: { authorization: 'Bearer one' }, tls: {} }),
    forget: () => {},
    ...access,
  });
  t.after(async () => {
    await client.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return client;
}

async function collect(events: AsyncIterable<WatchEvent>): Promise<WatchEvent[]> {
  const all: WatchEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

describe('requests', () => {
  test('method, path under the base, query, credentials, body and its type arrive; the answer is JSON', async (t) => {
    const seen: unknown[] = [];
    const client = await clientOf(t, ({ method, url, headers }, response, body) => {
      seen.push([method, url, headers.authorization, headers['content-type'], headers.accept, body]);
      response.end('{"a":1}');
    });
    const answer = await client.request({
      method: 'PATCH',
      path: '/api/v1/x',
      query: { force: true, fieldManager: 'a b', none: undefined },
      body: { b: 2 },
      contentType: 'application/apply-patch+yaml',
    });
    assert.deepEqual(answer, { a: 1 });
    assert.deepEqual(seen, [
      ['PATCH', '/base/api/v1/x?force=true&fieldManager=a+b', 'Bearer one', 'application/apply-patch+yaml', 'application/json', '{"b":2}'],
    ]);
  });

  test('a Status becomes an ApiError with status, reason, message and the time to wait', async (t) => {
    const client = await clientOf(t, (_request, response) => {
      response.writeHead(429, { 'retry-after': '3' });
      response.end('{"kind":"Status","code":429,"reason":"TooManyRequests","message":"wait\\na little"}');
    });
    await assert.rejects(client.request({ method: 'GET', path: '/x' }), (error) => {
      assert.ok(error instanceof ApiError);
      assert.deepEqual([error.status, error.reason, error.message, error.retryAfter], [429, 'TooManyRequests', 'wait a little', 3000]);
      return true;
    });
  });

  test('an answer that is no Status is an ApiError too, with what was asked and its text', async (t) => {
    const client = await clientOf(t, (_request, response) => {
      response.writeHead(502);
      response.end('<html>bad gateway\n</html>');
    });
    await assert.rejects(client.request({ method: 'GET', path: '/x' }), { name: 'ApiError', status: 502, message: 'GET /x: 502 <html>bad gateway </html>' });
  });

  test('after a 401 the credentials are read again, once', async (t) => {
    let token = 'old';
    let forgotten = 0;
    const seen: unknown[] = [];
    const client = await clientOf(
      t,
      ({ headers }, response) => {
        seen.push(headers.authorization);
        response.writeHead(headers.authorization === 'Bearer new' ? 200 : 401);
        response.end('{}');
      },
      {
        credentials: async () => ({ headers: { authorization: `Bearer ${token}` }, tls: {} }),
        forget: () => {
          forgotten++;
          token = forgotten === 1 ? 'new' : 'bad';
        },
      },
    );
    assert.deepEqual(await client.request({ method: 'GET', path: '/x' }), {});
    assert.deepEqual(seen, ['Bearer old', 'Bearer new']);
    token = 'bad';
    await assert.rejects(client.request({ method: 'GET', path: '/x' }), { name: 'ApiError', status: 401 });
    assert.equal(seen.length, 4);
  });

  test('a server that is not there, one that is silent, one that hangs up: a ConnectionError each, on one line', async (t) => {
    const sockets: Socket[] = [];
    const client = await clientOf(t, (request, response) => {
      sockets.push(request.socket);
      if (request.url?.endsWith('/cut') === true) request.socket.destroy();
      if (request.url?.endsWith('/text') === true) response.end('hello');
    });
    await assert.rejects(client.request({ method: 'GET', path: '/silent', timeout: 100 }), { fault: 'TimedOut' });
    await assert.rejects(client.request({ method: 'GET', path: '/cut' }), { fault: 'Cut' });
    await assert.rejects(client.request({ method: 'GET', path: '/text' }), { fault: 'Malformed' });
    const nowhere = new ApiClient({
      server: 'http://127.0.0.1:1',
      namespace: 'default',
      credentials: async () => ({ headers: {}, tls: {} }),
      forget: () => {},
    });
    await assert.rejects(nowhere.request({ method: 'GET', path: '/' }), (error) => {
      assert.ok(error instanceof ConnectionError);
      assert.equal(error.fault, 'Unreachable');
      assert.equal(error.message, 'http://127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1');
      return true;
    });
    await nowhere.close();
  });

  test("an aborted request rejects with the signal's reason", async (t) => {
    const client = await clientOf(t, () => {});
    const controller = new AbortController();
    const reason = new Error('enough');
    const request = client.request({ method: 'GET', path: '/x', signal: controller.signal });
    controller.abort(reason);
    await assert.rejects(request, reason);
  });
});

describe('watches', () => {
  test('events arrive one a line, whatever the cuts, UTF-8 included', async (t) => {
    const text = '{"type":"ADDED","object":{"name":"grün €"}}\n{"type":"BOOKMARK","object":{}}\n\n{"type":"DELETED","object":{"n":1}}\n';
    const client = await clientOf(t, (_request, response) => {
      const bytes = Buffer.from(text);
      const write = (index: number): void => {
        if (index === bytes.length) response.end();
        else response.write(bytes.subarray(index, index + 1), () => setImmediate(write, index + 1));
      };
      write(0);
    });
    assert.deepEqual(await collect(client.stream({ path: '/x', query: { watch: true } })), [
      { type: 'ADDED', object: { name: 'grün €' } },
      { type: 'BOOKMARK', object: {} },
      { type: 'DELETED', object: { n: 1 } },
    ]);
  });

  test('an ERROR event and a refusal are thrown as ApiError', async (t) => {
    const status = '{"kind":"Status","code":410,"reason":"Expired","message":"too old"}';
    const client = await clientOf(t, (request, response) => {
      if (request.url?.endsWith('/late') === true) response.end(`{"type":"ERROR","object":${status}}\n`);
      else response.writeHead(410).end(status);
    });
    for (const path of ['/late', '/at-once']) {
      await assert.rejects(collect(client.stream({ path })), (error) => error instanceof ApiError && error.isExpired && error.message === 'too old');
    }
  });

  test('a stream that falls silent, one that is cut, one that is no stream of events', async (t) => {
    const client = await clientOf(t, (request, response) => {
      response.write('{"type":"ADDED","object":{}}\n');
      if (request.url?.endsWith('/cut') === true) response.write('{"type":', () => request.socket.destroy());
      if (request.url?.endsWith('/garbage') === true) response.end('{"type":"ADDED"}\n');
      if (request.url?.endsWith('/text') === true) response.end('oops\n');
    });
    await assert.rejects(collect(client.stream({ path: '/silent', idleTimeout: 100 })), { fault: 'TimedOut' });
    await assert.rejects(collect(client.stream({ path: '/cut' })), { fault: 'Cut' });
    await assert.rejects(collect(client.stream({ path: '/garbage' })), { fault: 'Malformed' });
    await assert.rejects(collect(client.stream({ path: '/text' })), { fault: 'Malformed' });
  });

  test('leaving the loop ends the connection', async (t) => {
    let closed = (): void => {};
    const gone = new Promise<void>((resolve) => {
      closed = resolve;
    });
    const client = await clientOf(t, (request, response) => {
      request.socket.once('close', closed);
      response.write('{"type":"ADDED","object":{}}\n');
    });
    for await (const event of client.stream({ path: '/x' })) {
      assert.equal(event.type, 'ADDED');
      break;
    }
    await gone;
  });
});
