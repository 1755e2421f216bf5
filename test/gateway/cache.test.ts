/** The response cache as clients and backends see it. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { before, type TestContext, test } from 'node:test';
import { Backend, type RecordedRequest } from './backend.ts';
import { type Answer, get, RawConnection, raw, send } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { Http2Client } from './http2-client.ts';
import { wholeFile } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';

let backend: Backend;
let gateway: GatewayUnderTest;
/** What the backend answers, by path: field lines, and the body; a function gets the request, and how often the path was asked before. */
type Script = string | ((request: RecordedRequest, count: number, socket: Socket) => string);
const scripts = new Map<string, Script>();
const counts = new Map<string, number>();

function answer(status: string, fields: string, body: string): string {
  return `HTTP/1.1 ${status}\r\n${fields}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

/** 200 with these fields and a body that tells the answers apart. */
function ok(...fields: readonly string[]): Script {
  return (_request, count) => answer('200 OK', fields.map((field) => `${field}\r\n`).join(''), `body ${count}`);
}

/** A path of its own that the backend answers so. */
let paths = 0;
function path(script: Script, suffix = ''): string {
  const name = `/cached/${paths++}${suffix}`;
  scripts.set(name, script);
  return name;
}

function asked(name: string): number {
  return counts.get(name) ?? 0;
}

before(async () => {
  backend = await Backend.start(wholeFile, (request, socket) => {
    const target = /^\S+ (\S+)/.exec(request.head)?.[1] ?? '';
    const name = target.replace(/\?.*/, '');
    const count = asked(name);
    counts.set(name, count + 1);
    const script = scripts.get(name) ?? answer('404 Not Found', '', 'no script');
    const text = typeof script === 'string' ? script : script(request, count, socket);
    return text === '' ? undefined : text;
  });
  gateway = await GatewayUnderTest.start(
    wholeFile,
    {
      'services.yaml': service('a', [backend.port]),
      'routes.yaml': apiRoute(
        'shop',
        `  rules:
    - name: cached
      matches: [{ path: { value: /cached } }]
      filters:
        cache: { maxEntryBytes: 100000 }
        responseHeaderModifier: { set: [{ name: x-modified, value: "1" }] }
      backendRefs: [{ name: a, port: 80 }]
    - name: by-parameter
      matches: [{ path: { value: /cached/by-parameter } }]
      filters: { cache: { defaultTTL: 1m, varyOnQuery: [id] } }
      backendRefs: [{ name: a, port: 80 }]
    - name: strict
      matches: [{ path: { value: /cached/strict } }]
      filters: { cache: { staleWhileRevalidate: 0s, staleIfError: 0s } }
      backendRefs: [{ name: a, port: 80 }]
    - name: beta
      matches: [{ path: { value: /cached }, headers: [{ name: x-beta, type: Present }] }]
      filters: { cache: {} }
      backendRefs: [{ name: a, port: 80 }]`,
      ),
    },
    // Many clients ask at once: none is to be refused because this machine is busy.
    ['--workers', '2', '--max-concurrency', 'off'],
  );
});

/** Waits until the entry is there, whichever worker answers. */
async function ask(name: string, headers: Readonly<Record<string, string>> = {}, method = 'GET'): Promise<Answer> {
  return send(gateway.http, name, { method, headers: { host: 'shop.test', ...headers } });
}

function statusOf({ headers }: Answer): string {
  return String(headers['cache-status']);
}

test('a fresh answer is served again, by any worker, with its age and through the response filters', async () => {
  const name = path(ok('Cache-Control: max-age=60', 'ETag: "a"', 'X-Own: 1'));
  const first = await ask(name);
  assert.deepEqual([first.status, first.body, statusOf(first), first.headers.age], [200, 'body 0', 'tidegate; fwd=uri-miss; stored', undefined]);
  for (let round = 0; round < 8; round++) {
    const hit = await ask(name);
    assert.deepEqual([hit.status, hit.body, statusOf(hit), hit.headers['x-modified'], hit.headers['x-own']], [200, 'body 0', 'tidegate; hit', '1', '1']);
    assert.match(String(hit.headers.age), /^\d+$/);
  }
  assert.equal(asked(name), 1);
  const line = await gateway.untilAccess((access) => access.path === name && access.reason === 'cache_hit');
  assert.equal(line.upstream, undefined);
});

test('early hints pass on to the client whose request it is', async () => {
  const name = path(() => `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${answer('200 OK', 'Cache-Control: max-age=60\r\n', 'ok')}`);
  const ask = async (): Promise<string> => raw(gateway.http, `GET ${name} HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n`);
  assert.match(await ask(), /^HTTP\/1\.1 103 [^\r]*\r\nLink: <\/a>\r\n\r\nHTTP\/1\.1 200 [\s\S]*stored[\s\S]*ok$/);
  assert.match(await ask(), /^HTTP\/1\.1 200 [\s\S]*hit[\s\S]*ok$/);
});

test('who only may have it from memory gets 504 when it is not there', async () => {
  const name = path(ok('Cache-Control: max-age=60'));
  const none = await ask(name, { 'cache-control': 'only-if-cached' });
  assert.deepEqual([none.status, none.headers['content-type'], asked(name)], [504, 'application/problem+json', 0]);
  await ask(name);
  assert.equal((await ask(name, { 'cache-control': 'only-if-cached' })).body, 'body 0');
});

test('what is not for all, or does not say for how long, is asked for each time', async () => {
  const cases = [
    ok(),
    ok('ETag: "a"'),
    ok('Cache-Control: no-store, max-age=60'),
    ok('Cache-Control: private, max-age=60'),
    ok('Cache-Control: max-age=60', 'Set-Cookie: a=b'),
    ok('Cache-Control: max-age=60', 'Vary: *'),
    ok('Cache-Control: max-age=0'),
    ok('Expires: 0'),
    ok('Cache-Control: max-age=x'),
    (_request: RecordedRequest, count: number) => answer('500 Internal Server Error', 'Cache-Control: max-age=60\r\n', `body ${count}`),
    (_request: RecordedRequest, count: number) => answer('400 Bad Request', 'Cache-Control: public, max-age=60\r\n', `body ${count}`),
    (_request: RecordedRequest, count: number) => answer('431 Request Header Fields Too Large', 'Cache-Control: max-age=60\r\n', `body ${count}`),
    () => answer('200 OK', 'Cache-Control: max-age=60\r\n', 'x'.repeat(100_001)),
  ];
  for (const [index, script] of cases.entries()) {
    const name = path(script);
    await ask(name);
    assert.doesNotMatch(statusOf(await ask(name)), /hit/, `case ${index}`);
    assert.equal(asked(name), 2, `case ${index}`);
  }
});

test('with Authorization only what is explicitly for all', async () => {
  const credentials = { authorization: 'Basic YTpi' };
  const mine = path(ok('Cache-Control: max-age=60'));
  assert.equal((await ask(mine, credentials)).body, 'body 0');
  assert.equal((await ask(mine)).body, 'body 1');
  // What everybody gets is good for who is known, too.
  assert.equal((await ask(mine, credentials)).body, 'body 1');
  for (const directive of ['public, max-age=60', 's-maxage=60', 'max-age=60, must-revalidate']) {
    const shared = path(ok(`Cache-Control: ${directive}`));
    await ask(shared, credentials);
    assert.equal((await ask(shared)).body, 'body 0', directive);
  }
});

test('fields that private and no-cache name are not kept, and all else is', async () => {
  const name = path(ok('Cache-Control: max-age=60, no-cache="Set-Cookie, X-Own"', 'Set-Cookie: a=b', 'X-Own: 1', 'X-All: 2'));
  const first = await ask(name);
  assert.deepEqual([first.headers['set-cookie'], first.headers['x-own'], first.headers['x-all']], [['a=b'], '1', '2']);
  const hit = await ask(name);
  assert.deepEqual([hit.headers['set-cookie'], hit.headers['x-own'], hit.headers['x-all'], statusOf(hit)], [undefined, undefined, '2', 'tidegate; hit']);
});

test('variants by Vary, whatever the order of what is accepted', async () => {
  const name = path((request, count) =>
    answer('200 OK', 'Cache-Control: max-age=60\r\nVary: Accept-Language\r\n', `${/^accept-language: (.*)$/im.exec(request.head)?.[1]} ${count}`),
  );
  assert.equal((await ask(name, { 'accept-language': 'de, en' })).body, 'de, en 0');
  assert.equal((await ask(name, { 'accept-language': 'fr' })).body, 'fr 1');
  assert.equal((await ask(name, { 'accept-language': 'EN,de' })).body, 'de, en 0');
  assert.equal((await ask(name, { 'accept-language': 'fr' })).body, 'fr 1');
  assert.equal((await ask(name)).body, 'undefined 2');
  const other = await ask(name, { 'accept-language': 'it' });
  assert.equal(statusOf(other), 'tidegate; fwd=vary-miss; stored');
});

test('a stale answer is validated, and a 304 brings its fields up to date', async () => {
  const name = path((request, count) => {
    if (count === 0) return answer('200 OK', 'Cache-Control: max-age=0\r\nETag: "a"\r\nX-Version: 1\r\n', 'the body');
    assert.match(request.head, /^if-none-match: "a"$/im);
    return 'HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\nETag: "a"\r\nX-Version: 2\r\n\r\n';
  });
  await ask(name);
  const validated = await ask(name, { 'cache-control': 'max-age=1000' });
  assert.deepEqual(
    [validated.status, validated.body, validated.headers['x-version'], statusOf(validated)],
    [200, 'the body', '2', 'tidegate; fwd=request; fwd-status=304; stored'],
  );
  const hit = await ask(name);
  assert.deepEqual([hit.body, hit.headers['x-version'], statusOf(hit), asked(name)], ['the body', '2', 'tidegate; hit', 2]);
});

test('a 304 with another ETag is about another answer: the whole is asked for', async () => {
  const name = path((request, count) => {
    if (count === 0) return answer('200 OK', 'Cache-Control: no-cache\r\nETag: "a"\r\n', 'old');
    if (/^if-none-match/im.test(request.head)) return 'HTTP/1.1 304 Not Modified\r\nETag: "b"\r\n\r\n';
    return answer('200 OK', 'Cache-Control: no-cache\r\nETag: "b"\r\n', 'new');
  });
  await ask(name);
  assert.equal((await ask(name)).body, 'new');
  assert.equal(asked(name), 3);
});

test("clients' conditions are answered from memory", async () => {
  const name = path(ok('Cache-Control: max-age=60', 'ETag: W/"a"', 'Last-Modified: Sun, 01 Nov 2026 10:00:00 GMT', 'Content-Type: text/plain'));
  await ask(name);
  for (const headers of [
    { 'if-none-match': '"b", "a"' },
    { 'if-none-match': '*' },
    { 'if-modified-since': 'Sun, 01 Nov 2026 10:00:00 GMT' },
    { 'if-none-match': 'W/"a"', 'if-modified-since': 'Sun, 01 Nov 2020 10:00:00 GMT' },
  ]) {
    const unchanged = await ask(name, headers);
    assert.deepEqual(
      [unchanged.status, unchanged.body, unchanged.headers['content-type'], unchanged.headers.etag],
      [304, '', undefined, 'W/"a"'],
      JSON.stringify(headers),
    );
  }
  for (const headers of [
    { 'if-none-match': '"b"' },
    { 'if-modified-since': 'Sat, 31 Oct 2026 10:00:00 GMT' },
    { 'if-none-match': '"b"', 'if-modified-since': 'Sun, 01 Nov 2026 10:00:00 GMT' },
  ]) {
    assert.equal((await ask(name, headers)).status, 200, JSON.stringify(headers));
  }
  assert.equal(asked(name), 1);
});

test('parts of a body, and its head alone', async () => {
  const name = path(() => answer('200 OK', 'Cache-Control: max-age=60\r\nETag: "a"\r\n', '0123456789'));
  await ask(name);
  const part = async (range: string, headers: Readonly<Record<string, string>> = {}): Promise<unknown[]> => {
    const got = await ask(name, { range, ...headers });
    return [got.status, got.body, got.headers['content-range'], got.headers['content-length']];
  };
  assert.deepEqual(await part('bytes=2-4'), [206, '234', 'bytes 2-4/10', '3']);
  assert.deepEqual(await part('bytes=8-'), [206, '89', 'bytes 8-9/10', '2']);
  assert.deepEqual(await part('bytes=-3'), [206, '789', 'bytes 7-9/10', '3']);
  assert.deepEqual(await part('bytes=0-999'), [206, '0123456789', 'bytes 0-9/10', '10']);
  assert.deepEqual((await part('bytes=10-')).slice(0, 3).toSpliced(1, 1), [416, 'bytes */10']);
  assert.deepEqual(await part('bytes=0-1,4-5'), [200, '0123456789', undefined, '10']);
  assert.deepEqual(await part('bytes=4-2'), [200, '0123456789', undefined, '10']);
  assert.deepEqual(await part('lines=0-1'), [200, '0123456789', undefined, '10']);
  assert.deepEqual(await part('bytes=2-4', { 'if-range': '"a"' }), [206, '234', 'bytes 2-4/10', '3']);
  assert.deepEqual(await part('bytes=2-4', { 'if-range': '"b"' }), [200, '0123456789', undefined, '10']);
  const head = await ask(name, {}, 'HEAD');
  assert.deepEqual([head.status, head.body, head.headers['content-length'], statusOf(head)], [200, '', '10', 'tidegate; hit']);
  assert.equal(asked(name), 1);
});

/** As many connections as to have some at each worker. */
async function connections(context: TestContext, count: number): Promise<RawConnection[]> {
  return Promise.all(Array.from({ length: count }, () => RawConnection.open(context, gateway.http)));
}

function request(name: string, headers = ''): string {
  return `GET ${name} HTTP/1.1\r\nHost: shop.test\r\n${headers}Connection: close\r\n\r\n`;
}

/** Answers a path when the test says so. */
function held(): { readonly script: Script; readonly sockets: Socket[] } {
  const sockets: Socket[] = [];
  return {
    sockets,
    script: (_request, _count, socket) => {
      sockets.push(socket);
      return '';
    },
  };
}

test('one request to the backend for all who come meanwhile, at any worker', async (context) => {
  const { script, sockets } = held();
  const name = path(script);
  const clients = await connections(context, 100);
  for (const client of clients) client.write(request(name));
  await backend.until(() => sockets.length > 0);
  // They have all been read once another request that came after them is answered at each worker.
  const other = path(ok());
  await Promise.all(Array.from({ length: 20 }, () => ask(other)));
  sockets[0]?.write(answer('200 OK', 'Cache-Control: max-age=60\r\n', 'for all'));
  const answers = await Promise.all(clients.map((client) => client.untilEnded()));
  assert.equal(answers.filter((text) => text.startsWith('HTTP/1.1 200') && text.endsWith('for all')).length, 100);
  assert.equal(asked(name), 1);
});

test('who waits sees the body come, and does not wait for a slow reader', async (context) => {
  const { script, sockets } = held();
  const name = path(script);
  const [first, second] = (await connections(context, 2)) as [RawConnection, RawConnection];
  first.write(request(name));
  await backend.until(() => sockets.length > 0);
  second.write(request(name));
  sockets[0]?.write('HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n');
  await first.until((text) => text.includes('first'));
  first.socket.pause();
  // At another worker it is asked for once more, after a while.
  void backend
    .until(() => sockets.length > 1)
    .then(() => sockets[1]?.write('HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n'))
    .catch(() => {});
  await second.until((text) => text.includes('first'));
  for (const socket of sockets) socket.write('6\r\nsecond\r\n0\r\n\r\n');
  assert.match(await second.untilEnded(), /second/);
  first.socket.resume();
  assert.match(await first.untilEnded(), /second/);
  assert.equal(statusOf(await ask(name)), 'tidegate; hit');
});

test('what is for one alone is asked for by each, and nobody waits for the end of it', async (context) => {
  const sockets: Socket[] = [];
  const name = path((_request, count, socket) => {
    sockets.push(socket);
    // The first one never comes to its end.
    return count === 0 ? '' : answer('200 OK', 'Cache-Control: private\r\n', 'mine');
  });
  const clients = await connections(context, 10);
  for (const client of clients) client.write(request(name));
  await backend.until(() => sockets.length > 0);
  sockets[0]?.write('HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Length: 100\r\n\r\nthe first');
  const [first] = await Promise.all([
    Promise.race(clients.map((client) => client.until((text) => text.endsWith('the first')))),
    backend.until(() => sockets.length === 10),
  ]);
  assert.ok(first !== undefined);
  const whole = await Promise.all(clients.map((client) => client.until((text) => text.endsWith('mine') || text.endsWith('the first'))));
  assert.equal(whole.filter((text) => text.endsWith('mine')).length, 9);
});

test('the client that caused it leaves: those who wait get it all the same', async (context) => {
  const { script, sockets } = held();
  const name = path(script);
  const [first, second] = (await connections(context, 2)) as [RawConnection, RawConnection];
  first.write(request(name));
  await backend.until(() => sockets.length > 0);
  second.write(request(name));
  const other = path(ok());
  await Promise.all(Array.from({ length: 20 }, () => ask(other)));
  first.close();
  await gateway.untilAccess((line) => line.path === name && line.status === 499);
  void backend
    .until(() => sockets.length > 1)
    .then(() => sockets[1]?.write(answer('200 OK', 'Cache-Control: max-age=60\r\n', 'kept')))
    .catch(() => {});
  sockets[0]?.write(answer('200 OK', 'Cache-Control: max-age=60\r\n', 'kept'));
  assert.match(await second.untilEnded(), /kept$/);
});

test('an answer that breaks off is seen as such, and is not stored', async () => {
  const name = path((_request, count, socket) => {
    if (count > 0) return answer('200 OK', 'Cache-Control: max-age=60\r\n', 'whole');
    socket.end('HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 100\r\n\r\nonly a part');
    return '';
  });
  await assert.rejects(ask(name));
  const next = await ask(name);
  assert.deepEqual([next.body, statusOf(next)], ['whole', 'tidegate; fwd=uri-miss; stored']);
});

test('a body of unknown length that gets too long passes through, and is not stored', async () => {
  const long = 'x'.repeat(60_000);
  const name = path(
    () => `HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n${`${(60_000).toString(16)}\r\n${long}\r\n`.repeat(20)}0\r\n\r\n`,
  );
  for (let round = 0; round < 2; round++) assert.equal((await ask(name)).body.length, 1_200_000);
  assert.equal(asked(name), 2);
});

test('stale while it is asked for again', async () => {
  const name = path(ok('Cache-Control: max-age=60, stale-while-revalidate=60', 'Age: 90'));
  assert.equal((await ask(name)).body, 'body 0');
  const stale = await ask(name);
  assert.equal(stale.body, 'body 0');
  assert.match(String(statusOf(stale)), /^tidegate; hit; ttl=-[3-9]\d$/);
  // While another worker is still at the request that stored it, nobody asks anew: then one of the next does. None waits for that.
  while (asked(name) === 1) assert.match(statusOf(await ask(name)), /^tidegate; hit; ttl=-[3-9]\d$/);
  await gateway.until(name, (_status, body) => body !== 'body 0', { host: 'shop.test' });
});

test('stale when the backend fails, unless it forbids that', async () => {
  const failing =
    (fields: string): Script =>
    (_request, count) =>
      count === 0 ? answer('200 OK', `Cache-Control: max-age=60, ${fields}\r\nAge: 90\r\nETag: "a"\r\n`, 'old') : answer('503 Service Unavailable', '', 'down');
  const allowed = path(failing('stale-while-revalidate=0, stale-if-error=600'));
  await ask(allowed);
  const stale = await ask(allowed);
  assert.deepEqual([stale.status, stale.body, statusOf(stale)], [200, 'old', 'tidegate; hit; fwd=stale; fwd-status=503']);
  const forbidden = path(failing('must-revalidate'));
  await ask(forbidden);
  assert.equal((await ask(forbidden)).status, 503);
  const strict = '/cached/strict';
  scripts.set(strict, failing('public'));
  await ask(strict);
  assert.equal((await ask(strict)).status, 503);
  const gone = path((_request, count, socket) => {
    if (count === 0) return answer('200 OK', 'Cache-Control: max-age=60, stale-while-revalidate=0\r\nAge: 90\r\nETag: "a"\r\n', 'old');
    socket.destroy();
    return '';
  });
  await ask(gone);
  assert.equal((await ask(gone)).body, 'old');
});

test('what is written to is forgotten, with what its answer names', async () => {
  const name = path(ok('Cache-Control: max-age=60'));
  const named = path(ok('Cache-Control: max-age=60'));
  const foreign = path(ok('Cache-Control: max-age=60'));
  for (const each of [name, named, foreign]) await ask(each);
  scripts.set(`${name}`, (request, count) =>
    request.head.startsWith('POST')
      ? answer('200 OK', `Location: ${named}\r\nContent-Location: http://other.test${foreign}\r\n`, '')
      : answer('200 OK', 'Cache-Control: max-age=60\r\n', `body ${count}`),
  );
  const post = await ask(name, {}, 'POST');
  assert.equal(statusOf(post), 'tidegate; fwd=method');
  assert.notEqual((await ask(name)).body, 'body 0');
  assert.equal((await ask(named)).body, 'body 1');
  assert.equal((await ask(foreign)).body, 'body 0');
  // What failed changed nothing.
  scripts.set(foreign, (request, count) =>
    request.head.startsWith('POST') ? answer('500 Internal Server Error', '', '') : answer('200 OK', 'Cache-Control: max-age=60\r\n', `body ${count}`),
  );
  await ask(foreign, {}, 'POST');
  assert.equal((await ask(foreign)).body, 'body 0');
});

test('purges by host and path, at all workers', async () => {
  const one = path(ok('Cache-Control: max-age=60'), '/purged/a');
  const two = path(ok('Cache-Control: max-age=60'), '/purged/b');
  const purge = async (query: string, method = 'POST'): Promise<Answer> => send(gateway.admin, `/cache/purge${query}`, { method });
  const fill = async (): Promise<void> => {
    for (const each of [one, two, `${one}?x=1`]) await ask(each);
  };
  await fill();
  assert.deepEqual(JSON.parse((await purge(`?host=shop.test&path=${one}`)).body), { purged: 2 });
  for (let round = 0; round < 4; round++) assert.equal(statusOf(await ask(two)), 'tidegate; hit');
  assert.equal(statusOf(await ask(one)), 'tidegate; fwd=uri-miss; stored');
  assert.deepEqual(JSON.parse((await purge(`?host=other.test`)).body), { purged: 0 });
  assert.deepEqual(JSON.parse((await purge(`?path=${two.replace(/b$/, '*')}`)).body), { purged: 1 });
  assert.deepEqual(
    [(await purge('')).status, (await purge('?hots=a')).status, (await purge('?path=a')).status, (await purge('?all=true', 'GET')).status],
    [400, 400, 400, 405],
  );
  assert.equal((await purge('?all=true')).status, 200);
  const metrics = await get(gateway.admin, '/metrics');
  assert.match(metrics.body, /^tidegate_cache_bytes 0$/m);
  assert.match(metrics.body, /^tidegate_cache_requests_total\{route="ApiRoute\/default\/shop\/cached",result="hit"\} \d+$/m);
});

test('an edit of what a rule asks its backend leaves behind what was answered before', async () => {
  const [one, two] = ['one', 'two'].map((body) => path(answer('200 OK', 'Cache-Control: max-age=3600\r\n', body))) as [string, string];
  const route = (target: string): string =>
    apiRoute(
      'edited',
      `  hostnames: [edited.test]\n  rules: [{ filters: { cache: {}, urlRewrite: { path: { type: ReplaceFullPath, value: ${target} } } }, backendRefs: [{ name: a, port: 80 }] }]`,
    );
  const host = { host: 'edited.test' };
  await gateway.write('edited.yaml', route(one));
  await gateway.until('/page', (_status, body) => body === 'one', host);
  assert.equal(statusOf(await ask('/page', host)), 'tidegate; hit');
  await gateway.write('edited.yaml', route(two));
  await gateway.until('/page', (_status, body) => body === 'two', host);
  assert.equal(asked(one), 1);
});

test('poisoning: what is not in the key makes no answer for others', async () => {
  const reflecting =
    (header: string): Script =>
    (request, count) =>
      answer('200 OK', 'Cache-Control: max-age=60\r\n', `${new RegExp(`^${header}: (.*)$`, 'im').exec(request.head)?.[1]} ${count}`);
  // Not believed of somebody who is not trusted.
  const forwarded = path(reflecting('x-forwarded-host'));
  assert.equal((await ask(forwarded, { 'x-forwarded-host': 'evil.test' })).body, 'shop.test 0');
  // Past the cache.
  for (const header of ['x-original-url', 'x-rewrite-url', 'x-http-method-override', 'x-host']) {
    const name = path(reflecting(header));
    assert.equal(statusOf(await ask(name, { [header]: 'evil' })), 'tidegate; fwd=bypass');
    assert.equal((await ask(name)).body, 'undefined 1');
  }
  // A GET with a body.
  const fat = path((request, count) => answer('200 OK', 'Cache-Control: max-age=60\r\n', `${request.body} ${count}`));
  await send(gateway.http, fat, { headers: { host: 'shop.test', 'content-length': '4' }, body: 'evil' });
  assert.equal((await ask(fat)).body, ' 1');
  // The port of Host is a part of it, and so is a dot at its end, which browsers keep in links; its case is not.
  const host = path(reflecting('host'));
  assert.equal((await ask(host, { host: 'shop.test:1234' })).body, 'shop.test:1234 0');
  assert.equal((await ask(host)).body, 'shop.test 1');
  assert.equal((await ask(host, { host: 'SHOP.test' })).body, 'shop.test 1');
  assert.equal((await ask(host, { host: 'shop.test:80' })).body, 'shop.test 1');
  assert.equal((await ask(host, { host: 'shop.test.' })).body, 'shop.test. 2');
  assert.equal((await ask(host)).body, 'shop.test 1');
  // What leads to another rule is another answer.
  const beta = path(reflecting('x-beta'));
  assert.equal((await ask(beta, { 'x-beta': 'evil' })).body, 'evil 0');
  assert.equal((await ask(beta)).body, 'undefined 1');
});

test('deception: a path that looks like a file is no reason to store', async () => {
  for (const suffix of ['/account.css', '/account;.css', '/account%0A.js', '/account%23.css']) {
    const name = path('', suffix);
    const decoded = name;
    scripts.set(decoded, ok());
    await ask(decoded);
    await ask(decoded);
    assert.equal(asked(decoded), 2, suffix);
  }
  assert.equal((await ask('/cached/a/..%2faccount')).status, 400);
  // One path, however it is written.
  const name = path(ok('Cache-Control: max-age=60'));
  await ask(name);
  assert.equal(statusOf(await ask(name.replace('/cached/', '/x/../%63ached/./'))), 'tidegate; hit');
});

test('by some parameters alone, and never round them', async () => {
  const name = '/cached/by-parameter';
  scripts.set(name, (request, count) => answer('200 OK', '', `${/\?(\S*)/.exec(request.head)?.[1]} ${count}`));
  assert.equal((await ask(`${name}?id=1&utm=a`)).body, 'id=1&utm=a 0');
  assert.equal((await ask(`${name}?utm=b&id=1`)).body, 'id=1&utm=a 0');
  assert.equal((await ask(`${name}?id=2`)).body, 'id=2 1');
  assert.equal((await ask(`${name}?id=1&id=3`)).body, 'id=1&id=3 2');
  assert.equal((await ask(`${name}?%69d=3`)).body, '%69d=3 3');
  assert.equal(statusOf(await ask(`${name}?utm=a;id=1`)), 'tidegate; fwd=bypass');
});

test('over HTTP/2, and to the log', async (context) => {
  const name = path(ok('Cache-Control: max-age=60', 'ETag: "a"'));
  const client = new Http2Client(context, `http://127.0.0.1:${gateway.http}`);
  const asking = (headers: Readonly<Record<string, string>> = {}) => client.send(name, { headers: { ':authority': 'shop.test', ...headers } });
  assert.equal((await asking()).headers['cache-status'], 'tidegate; fwd=uri-miss; stored');
  const hit = await asking();
  assert.deepEqual([hit.status, hit.body, hit.headers['cache-status'], hit.headers['content-length']], [200, 'body 0', 'tidegate; hit', '6']);
  assert.deepEqual([(await asking({ 'if-none-match': '"a"' })).status, (await asking({ range: 'bytes=0-3' })).body], [304, 'body']);
  const miss = await gateway.untilAccess((line) => line.path === name && line.upstreamStatus === 200);
  assert.deepEqual([miss.upstream, miss.attempts], ['default/a/80', 1]);
});
