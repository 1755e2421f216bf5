import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdirSync, mkdtempSync, openSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { AccessLines, type AccessRecord } from './access-line.ts';
import { AccessLog, LogBaton } from './access-log.ts';
import { redactUrl } from './redact-url.ts';

const record: AccessRecord = {
  requestId: 'id-1',
  clientIp: '10.0.0.1',
  method: 'GET',
  host: 'a.test',
  path: '/x?y=1',
  protocol: 'HTTP/1.1',
  status: 200,
  reason: '',
  shadowRefusals: '',
  requestBytes: 0,
  responseBytes: 12,
  durationMs: 1.23456,
  route: 'ApiRoute/default/a/0',
  upstream: 'default/web/80',
  endpoint: '10.1.0.1:8080',
  upstreamStatus: 200,
  upstreamMs: 1,
  attempts: 1,
  userAgent: 'curl "quoted" \\ é',
  referer: 'http://a/?token=abc',
  traceId: '0af7651916cd43dd8448eb211c80319c',
  tlsVersion: '',
  sni: '',
};

const lines = new AccessLines(() => Date.parse('2026-01-02T03:04:05.678Z'));

/** Nothing is dropped, and the sink gives no trouble. */
function never(): void {
  assert.fail();
}

function folder(): string {
  return mkdtempSync(join(tmpdir(), 'tidegate-log-'));
}

test('limits in mode Shadow that would have refused the request are named', () => {
  assert.equal(JSON.parse(lines.line({ ...record, shadowRefusals: 'per-client,quota' })).shadowRefusals, 'per-client,quota');
});

test('a line is valid JSON with the fields of the format', () => {
  const line = lines.line(record);
  assert.ok(line.endsWith('}\n'));
  assert.deepEqual(JSON.parse(line), {
    time: '2026-01-02T03:04:05.678Z',
    requestId: 'id-1',
    clientIp: '10.0.0.1',
    method: 'GET',
    host: 'a.test',
    path: '/x?y=1',
    protocol: 'HTTP/1.1',
    status: 200,
    requestBytes: 0,
    responseBytes: 12,
    durationMs: 1.235,
    route: 'ApiRoute/default/a/0',
    upstream: 'default/web/80',
    endpoint: '10.1.0.1:8080',
    upstreamStatus: 200,
    upstreamMs: 1,
    attempts: 1,
    userAgent: 'curl "quoted" \\ é',
    referer: 'http://a/?token=[redacted]',
    traceId: '0af7651916cd43dd8448eb211c80319c',
  });
});

test('times are numbers of milliseconds, to the microsecond', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1e7, noNaN: true }), (durationMs) => {
      assert.equal(JSON.parse(lines.line({ ...record, durationMs })).durationMs, Math.round(durationMs * 1000) / 1000);
    }),
  );
});

test('a value is the same in every line, however many others there were', () => {
  const hosts = Array.from({ length: 3000 }, (_, index) => `h${index}.test`);
  for (const host of [...hosts, ...hosts]) assert.equal(JSON.parse(lines.line({ ...record, host })).host, host);
  const userAgent = `"${'é'.repeat(400)}`;
  for (let count = 0; count < 2; count++) assert.equal(JSON.parse(lines.line({ ...record, userAgent })).userAgent, userAgent);
});

test('lines are ASCII, and say what they are to say, whatever bytes clients send and whoever sends them', () => {
  const byte = fc.oneof(
    fc.constantFrom('\u00e9', '\u0000', '\u007f', '"', '\\'),
    fc.nat(255).map((code) => String.fromCharCode(code)),
  );
  const text = fc.oneof(fc.constantFrom('a.test', 'GET'), fc.string({ unit: byte }));
  const name = fc.constantFrom('one', 'two', '');
  const peers = [{}, {}];
  const shared = new AccessLines();
  fc.assert(
    fc.property(
      fc.record({
        method: text,
        host: text,
        protocol: text,
        path: text.map((path) => `/${path.replaceAll('?', '')}`),
        userAgent: text,
        consumer: text,
        sni: text,
      }),
      fc.record({ clientIp: fc.constantFrom('10.0.0.1', '10.0.0.2'), route: name, upstream: name, endpoint: name, status: fc.integer({ min: 200, max: 202 }) }),
      fc.constantFrom(undefined, ...peers),
      (texts, others, peer) => {
        const line = shared.line({ ...record, ...texts, ...others, peer });
        assert.match(line, /^[\x20-\x7e]*\n$/);
        const said = JSON.parse(line);
        const optional = ['userAgent', 'sni', 'route', 'upstream', 'endpoint'];
        for (const [key, value] of Object.entries({ ...texts, ...others }))
          assert.equal(said[key], optional.includes(key) && value === '' ? undefined : value, key);
      },
    ),
  );
});

test('values of credential parameters are redacted, whatever their case and place', () => {
  assert.equal(redactUrl('/a?access_token=s3cret&b=1&API-Key=k&key=z&monkey=1'), '/a?access_token=[redacted]&b=1&API-Key=[redacted]&key=[redacted]&monkey=1');
  assert.equal(redactUrl('/a?b=1&password=p#f'), '/a?b=1&password=[redacted]#f');
  assert.equal(redactUrl('/token=x'), '/token=x');
  assert.equal(redactUrl('/a?tok%65n=x&access%5Ftoken=y&%zztoken=z'), '/a?tok%65n=[redacted]&access%5Ftoken=[redacted]&%zztoken=[redacted]');
  assert.equal(redactUrl('/a?to=http://b/?token=x?y&sig=a=b;code=&b=?'), '/a?to=http://b/?token=[redacted]&sig=[redacted];code=&b=?');
});

test('the user and password of a URL are redacted', () => {
  assert.equal(redactUrl('http://user:p@ss@a/b?sid=1'), 'http://[redacted]@a/b?sid=[redacted]');
  assert.equal(redactUrl('http://a/b@c?d=e@f'), 'http://a/b@c?d=e@f');
  assert.equal(redactUrl('/b@c'), '/b@c');
});

test('redacting takes time in proportion to the length, whatever clients send', () => {
  for (const piece of ['token', '?', '?a=', '&token', 'apikey=', 'http://', '@', '%']) {
    const text = `/?${piece.repeat(200_000 / piece.length)}`;
    const started = performance.now();
    redactUrl(text);
    redactUrl(`http://${text.slice(2)}`);
    // Milliseconds; by the square of the length it would be minutes.
    assert.ok(performance.now() - started < 20_000, piece);
  }
});

test('lines reach the file, also after it was rotated away', () => {
  const dir = folder();
  const path = join(dir, 'access.log');
  const log = new AccessLog(path, new LogBaton(new SharedArrayBuffer(4), 0), never, never);
  log.write(record);
  log.flush();
  renameSync(path, `${path}.1`);
  log.write({ ...record, requestId: 'id-2' });
  log.reopen();
  log.write({ ...record, requestId: 'id-3' });
  log.close();
  assert.deepEqual(ids(`${path}.1`), ['id-1', 'id-2']);
  assert.deepEqual(ids(path), ['id-3']);
  rmSync(dir, { recursive: true });
});

test('where the file can not be opened anew, lines go on to the old one, and that is told once', () => {
  const dir = folder();
  const [now, old] = [join(dir, 'now'), join(dir, 'old')];
  mkdirSync(now);
  const path = join(now, 'access.log');
  const told: (string | undefined)[] = [];
  const log = new AccessLog(path, new LogBaton(new SharedArrayBuffer(4), 0), never, (error) => told.push(error?.code));
  log.write(record);
  renameSync(now, old);
  log.reopen();
  log.write({ ...record, requestId: 'id-2' });
  log.reopen();
  assert.deepEqual(told, ['ENOENT']);
  mkdirSync(now);
  log.reopen();
  log.write({ ...record, requestId: 'id-3' });
  log.close();
  assert.deepEqual(told, ['ENOENT', undefined]);
  assert.deepEqual([ids(join(old, 'access.log')), ids(path)], [['id-1', 'id-2'], ['id-3']]);
  rmSync(dir, { recursive: true });
});

test('where it can not be opened at all, lines wait until it can', () => {
  const dir = folder();
  const path = join(dir, 'none', 'access.log');
  const told: (string | undefined)[] = [];
  const log = new AccessLog(path, new LogBaton(new SharedArrayBuffer(4), 0), never, (error) => told.push(error?.code));
  log.write(record);
  log.flush();
  mkdirSync(join(dir, 'none'));
  log.reopen();
  log.close();
  assert.deepEqual([told, ids(path)], [['ENOENT', undefined], ['id-1']]);
  rmSync(dir, { recursive: true });
});

test('lines of any length reach the file in their order', () => {
  const dir = folder();
  const path = join(dir, 'access.log');
  const log = new AccessLog(path, new LogBaton(new SharedArrayBuffer(4), 0), never, never);
  const lengths = Array.from({ length: 400 }, (_, index) => (index % 40 === 39 ? 100_000 : index % 7 === 6 ? 20_000 : index));
  for (const [index, length] of lengths.entries()) log.write({ ...record, requestId: `n${index}`, path: `/${'x'.repeat(length)}` });
  log.close();
  assert.deepEqual(
    ids(path),
    lengths.map((_, index) => `n${index}`),
  );
  rmSync(dir, { recursive: true });
});

function ids(path: string): string[] {
  return readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as { requestId: string }).requestId);
}

test('a sink that blocks costs lines, which are counted, and no line is torn', async () => {
  const dir = folder();
  const pipe = join(dir, 'pipe');
  execFileSync('mkfifo', [pipe]);
  // Somebody must hold the reading end, or opening the other one without blocking fails.
  const held = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
  let dropped = 0;
  const count = (lines: number): void => {
    dropped += lines;
  };
  const log = new AccessLog(pipe, new LogBaton(new SharedArrayBuffer(4), 0), count, never);
  const total = 20_000;
  for (let index = 0; index < total; index++) log.write({ ...record, requestId: `n${index}` });
  assert.ok(dropped > 0, 'nothing was dropped');
  const reader = spawn('cat', [pipe]);
  let text = '';
  reader.stdout.on('data', (chunk) => {
    text += chunk;
  });
  while (text.split('\n').length - 1 < total - dropped) {
    log.flush();
    await new Promise((resolve) => setImmediate(resolve));
  }
  log.close();
  await once(reader, 'close');
  // Not before: between this end and cat's nobody would read, and a write would fail for good.
  closeSync(held);
  const lines = text.trimEnd().split('\n');
  assert.equal(lines.length + dropped, total);
  for (const line of lines) JSON.parse(line);
  rmSync(dir, { recursive: true });
});

test('what is left at the end is written once another thread gives the baton', async () => {
  const dir = folder();
  const path = join(dir, 'access.log');
  const buffer = new SharedArrayBuffer(4);
  const other = new LogBaton(buffer, 1);
  const log = new AccessLog(path, new LogBaton(buffer, 0), never, never);
  assert.ok(other.take());
  log.write(record);
  const finished = log.finish();
  other.give();
  await finished;
  assert.deepEqual(ids(path), ['id-1']);
  log.close();
  rmSync(dir, { recursive: true });
});

test('what the sink does not take at the end is dropped and counted', async () => {
  const dir = folder();
  const buffer = new SharedArrayBuffer(4);
  assert.ok(new LogBaton(buffer, 1).take());
  let dropped = 0;
  const count = (lines: number): void => {
    dropped += lines;
  };
  const log = new AccessLog(join(dir, 'access.log'), new LogBaton(buffer, 0), count, never);
  log.write(record);
  log.write(record);
  await log.finish();
  assert.equal(dropped, 2);
  log.close();
  rmSync(dir, { recursive: true });
});

test('the baton is held by one thread at a time, and freed when that one died', () => {
  const buffer = new SharedArrayBuffer(4);
  const one = new LogBaton(buffer, 0);
  const two = new LogBaton(buffer, 1);
  assert.ok(one.take());
  assert.ok(!two.take());
  two.give();
  assert.ok(!two.take());
  LogBaton.release(buffer, 0);
  assert.ok(two.take());
});
