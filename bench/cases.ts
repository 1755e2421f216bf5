/** The cases of the bench: who runs, under which load, and what is wanted. */
import { type Case, caddy, envoy, everybody, type Goal, handle, haproxy, named, nearest, nginx, type Subject, stream, throughput, traefik } from './case.ts';
import { gatewayCases } from './gateway-cases.ts';
import { type Addresses, CONNECTIONS, constantRate, h2load, type Load, type LoadResult, tlsConnections, webSocketMessages, whileIdle, wrk } from './load.ts';
import type { BackendProtocol, Running } from './subjects.ts';

interface LoadCaseOptions {
  readonly note?: string;
  readonly backend?: BackendProtocol;
  /** By default all of them. */
  readonly subjects?: readonly Subject[];
}

/** A case that is one load on all subjects, compared by requests a second; wanted are ratios to nginx. */
function loadCase(name: string, title: string, load: Load, wanted: { handle?: number; stream?: number }, options: LoadCaseOptions = {}): Case {
  const { note, backend } = options;
  const subjects = options.subjects ?? everybody;
  const goals: Goal[] = [];
  if (wanted.handle !== undefined) goals.push({ subject: handle.label, against: nginx.label, metric: 'rate', atLeast: wanted.handle });
  if (wanted.stream !== undefined) goals.push({ subject: stream.label, against: nginx.label, metric: 'rate', atLeast: wanted.stream });
  for (const peer of [envoy, traefik, caddy]) {
    if (subjects.includes(peer)) goals.push({ subject: handle.label, against: peer.label, metric: 'rate', atLeast: 1 });
  }
  return {
    name,
    title,
    ...(note === undefined ? {} : { note }),
    subjects: backend === undefined ? subjects : subjects.map(({ label, setting }) => named(label, { ...setting, backend })),
    baseline: (subjects[0] as Subject).label,
    columns: ['rate', 'busyRate', 'cpu'],
    goals,
    warmUp: load,
    measure: (subject, seconds) => throughput(subject, () => load(subject, seconds)),
  };
}

/** What a browser sends besides Host. */
const browserFields = [
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
  'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
  'Accept-Language: en-GB,en;q=0.7,de;q=0.3',
  'Accept-Encoding: gzip, deflate, br, zstd',
  'Referer: https://shop.example.com/catalogue?page=2',
  'Cookie: session=8b1a9953c4611296a827abf8c47804d7; theme=dark; consent=1',
  'Upgrade-Insecure-Requests: 1',
  'Sec-Fetch-Dest: document',
  'Sec-Fetch-Mode: navigate',
  'Sec-Fetch-Site: same-origin',
  'Sec-Fetch-User: ?1',
  'Priority: u=0, i',
];

const accessLog: Case = {
  name: 'access-log',
  title: 'Access log and metrics on',
  note: 'A JSON line a request, to a file. Metrics are always on in Tidegate.',
  subjects: [
    named('nginx with log', { kind: 'nginx', accessLog: true }),
    named('HAProxy with log', { kind: 'haproxy', accessLog: true }),
    handle,
    named('Tidegate with log, handle', { kind: 'handle', accessLog: true }),
    named('Tidegate with log, stream', { kind: 'stream', accessLog: true }),
  ],
  baseline: 'nginx with log',
  columns: ['rate', 'busyRate', 'cpu'],
  goals: [
    { subject: 'Tidegate with log, handle', against: handle.label, metric: 'rate', atLeast: 0.9 },
    { subject: 'Tidegate with log, handle', against: 'nginx with log', metric: 'rate', atLeast: 1 },
  ],
  warmUp: wrk(),
  measure: (subject, seconds) => throughput(subject, () => wrk()(subject, seconds)),
};

const toManyRoutes = wrk({ script: 'routes' });

const routes: Case = {
  name: 'routes',
  title: '10,000 routes on 1,000 hosts',
  note: 'Requests go to all routes in turn. The single route gets the very same requests.',
  subjects: [
    named('nginx, 1 route', { kind: 'nginx' }),
    named('nginx, 10,000', { kind: 'nginx', manyRoutes: true }),
    named('HAProxy, 1 route', { kind: 'haproxy' }),
    named('HAProxy, 10,000', { kind: 'haproxy', manyRoutes: true }),
    named('Tidegate, 1 route', { kind: 'handle' }),
    named('Tidegate, 10,000', { kind: 'handle', manyRoutes: true }),
  ],
  baseline: 'nginx, 1 route',
  columns: ['rate', 'busyRate', 'cpu', 'resident'],
  goals: [
    { subject: 'Tidegate, 10,000', against: 'Tidegate, 1 route', metric: 'rate', atLeast: 0.95 },
    { subject: 'Tidegate, 10,000', metric: 'resident', atMost: 150 },
  ],
  warmUp: toManyRoutes,
  measure: (subject, seconds) => throughput(subject, () => toManyRoutes(subject, seconds)),
};

const rateLimit: Case = {
  name: 'rate-limit',
  title: 'A rate limit for each client address',
  note: 'The limit refuses nobody; every answer carries its headers.',
  subjects: [nginx, handle, named('Tidegate with limit, handle', { kind: 'handle', rateLimit: true })],
  baseline: nginx.label,
  columns: ['rate', 'busyRate', 'cpu'],
  goals: [{ subject: 'Tidegate with limit, handle', against: handle.label, metric: 'rate', atLeast: 0.9 }],
  warmUp: wrk(),
  measure: (subject, seconds) => throughput(subject, () => wrk()(subject, seconds)),
};

const globalLimit: Case = {
  name: 'global-limit',
  title: 'A rate limit for each client address, over all replicas',
  note: 'Counted in a Redis on the core that the load comes from. The limit refuses nobody; every answer carries its headers.',
  subjects: [handle, named('Tidegate with global limit, handle', { kind: 'handle', globalLimit: true })],
  baseline: handle.label,
  columns: ['rate', 'busyRate', 'cpu'],
  goals: [{ subject: 'Tidegate with global limit, handle', against: handle.label, metric: 'rate', atLeast: 0.5 }],
  warmUp: wrk(),
  measure: (subject, seconds) => throughput(subject, () => wrk()(subject, seconds)),
};

const takingCodings = wrk({ path: '/json', headers: ['Accept-Encoding: gzip, zstd'] });

const compression: Case = {
  name: 'compression',
  title: 'Compression of 10 KiB of JSON',
  note: 'gzip at level 4 in both; zstd at level 3 is what Tidegate gives to clients that take it.',
  subjects: [
    named('nginx with gzip', { kind: 'nginx', compression: 'gzip' }),
    named('Tidegate with gzip', { kind: 'handle', compression: 'gzip' }),
    named('Tidegate with zstd', { kind: 'handle', compression: 'zstd' }),
    named('Tidegate without', { kind: 'handle' }),
  ],
  baseline: 'nginx with gzip',
  columns: ['rate', 'busyRate', 'cpu'],
  goals: [],
  warmUp: takingCodings,
  measure: (subject, seconds) => throughput(subject, () => takingCodings(subject, seconds)),
};

const workers: Case = {
  name: 'workers',
  title: 'Two workers',
  note: 'Proxy, load generator and backend share both cores here, so only CPU time for a request tells something.',
  subjects: [
    named('1 worker', { kind: 'handle', workers: 1, cores: '0,1' }),
    named('2 workers', { kind: 'handle', workers: 2, cores: '0,1' }),
    named('1 worker, rate limit', { kind: 'handle', workers: 1, cores: '0,1', rateLimit: true }),
    named('2 workers, rate limit', { kind: 'handle', workers: 2, cores: '0,1', rateLimit: true }),
  ],
  baseline: '1 worker',
  columns: ['cpu', 'rate'],
  goals: [
    { subject: '2 workers', against: '1 worker', metric: 'cpu', atMost: 1.1 },
    { subject: '2 workers, rate limit', against: '1 worker, rate limit', metric: 'cpu', atMost: 1.1 },
  ],
  warmUp: wrk(),
  measure: (subject, seconds) => throughput(subject, () => wrk()(subject, seconds)),
};

const latency: Case = {
  name: 'latency',
  title: "Latency at 30 % of nginx's maximum rate",
  note: `An open loop over ${CONNECTIONS} connections; a request's time counts from when it was due, so that stalls are not hidden.`,
  subjects: nearest,
  baseline: nginx.label,
  columns: ['rate', 'p50', 'p99', 'p999', 'cpu'],
  goals: [{ subject: handle.label, against: nginx.label, metric: 'p99', atMost: 1.5 }],
  warmUp: wrk(),
  prepare: async (subjects, seconds) => {
    const reference = subjects.get(nginx.label) ?? [...subjects.values()][0];
    if (reference === undefined) return 0;
    const result = await wrk()(reference, seconds);
    return Math.round((result.requests / result.seconds) * 0.3);
  },
  measure: async (subject, seconds, rate) => {
    let latencies: LoadResult['latencies'];
    const sample = await throughput(subject, async () => {
      const result = await constantRate(subject, seconds, rate);
      latencies = result.latencies;
      return result;
    });
    if (latencies === undefined) return sample;
    return { ...sample, p50: latencies.p50 / 1000, p99: latencies.p99 / 1000, p999: latencies.p999 / 1000 };
  },
};

const HANDSHAKES = 100_000;

const tlsMemory: Case = {
  name: 'tls-memory',
  title: '100,000 TLS connections, one after another on 64 at a time',
  note: 'Full handshakes, one request on each connection.',
  subjects: nearest,
  baseline: nginx.label,
  columns: ['residentBefore', 'resident', 'rate'],
  rounds: 1,
  goals: [
    { subject: handle.label, metric: 'resident', atMost: 150 },
    { subject: stream.label, metric: 'resident', atMost: 150 },
  ],
  measure: async (subject: Running & Addresses) => {
    const residentBefore = subject.process.residentMiB();
    const sample = await throughput(subject, () => tlsConnections('tls-full', HANDSHAKES)(subject, 0));
    return { ...sample, residentBefore };
  },
};

const IDLE = 1000;

const http2Memory: Case = {
  name: 'http2-memory',
  title: `${IDLE} idle HTTP/2 connections`,
  note: `After one request on each; beyond what as many of HTTP/1.1 over TLS take. ${2 * IDLE} of those are open all the time.`,
  subjects: [nginx, haproxy, envoy, handle, stream],
  baseline: nginx.label,
  columns: ['residentBefore', 'resident', 'idle'],
  rounds: 1,
  goals: [
    { subject: handle.label, metric: 'idle', atMost: 20 },
    { subject: stream.label, metric: 'idle', atMost: 20 },
  ],
  measure: async (subject: Running) => {
    const resident = (): number => subject.process.residentMiB();
    // All of them stay open: memory that closed ones have left behind would hide what later ones take.
    return await whileIdle(subject, 'http/1.1', IDLE, async () => {
      const before = resident();
      return await whileIdle(subject, 'http/1.1', IDLE, async () => {
        const plain = resident();
        const http2 = await whileIdle(subject, 'h2', IDLE, async () => resident());
        return { residentBefore: before, resident: http2, idle: ((http2 - plain - (plain - before)) * 1024) / IDLE };
      });
    });
  },
};

const healing: Case = {
  name: 'healing',
  title: 'Health checks, circuit breaker, retries and session affinity on',
  note: 'Nothing fails. The client keeps no cookies, so that every answer sets one.',
  subjects: [nginx, handle, named('Tidegate with all of them, handle', { kind: 'handle', healing: true })],
  baseline: nginx.label,
  columns: ['rate', 'busyRate', 'cpu'],
  goals: [{ subject: 'Tidegate with all of them, handle', against: handle.label, metric: 'rate', atLeast: 0.9 }],
  warmUp: wrk(),
  measure: (subject, seconds) => throughput(subject, () => wrk()(subject, seconds)),
};

const grpcUnary = h2load({
  path: '/bench.Echo/Say',
  headers: ['content-type: application/grpc', 'te: trailers'],
  // Not compressed, its length in four bytes, the message.
  body: Buffer.concat([Buffer.from([0, 0, 0, 0, 150]), Buffer.alloc(150, 'x')]),
});

export const cases: readonly Case[] = [
  loadCase('plain', 'Plain HTTP/1.1, keep-alive', wrk(), { handle: 1, stream: 0.9 }),
  loadCase('fields', 'The same with the 12 fields of a browser', wrk({ headers: browserFields }), {}, { subjects: nearest }),
  loadCase('tls', 'HTTPS, HTTP/1.1, keep-alive', wrk({ tls: true }), { handle: 0.9 }),
  loadCase('http2', 'HTTP/2 over TLS, HTTP/1.1 to the backend', h2load(), { handle: 1.5 }, { note: '16 connections with 4 requests at once on each.' }),
  loadCase(
    'http2-both',
    'HTTP/2 over TLS, HTTP/2 to the backend',
    h2load(),
    {},
    { note: 'nginx has no HTTP/2 to backends.', backend: 'h2c', subjects: [haproxy, envoy, traefik, caddy, handle, stream] },
  ),
  loadCase('grpc', 'gRPC unary', grpcUnary, { handle: 1.2 }, { note: '150 bytes each way, over TLS, HTTP/2 in clear to the backend.', backend: 'grpc' }),
  loadCase(
    'websocket',
    'WebSocket echo',
    webSocketMessages,
    { handle: 0.9 },
    { note: 'Messages of 120 bytes, one at a time on each connection.', backend: 'echo' },
  ),
  loadCase(
    'tls-full',
    'A new TLS connection for each request, full handshake',
    tlsConnections('tls-full'),
    { handle: 0.75 },
    { note: 'TLS 1.3, ECDSA P-256, X25519.' },
  ),
  loadCase('tls-resumed', 'A new TLS connection for each request, resumed', tlsConnections('tls-resumed'), { handle: 0.9 }, { note: 'TLS 1.3 tickets.' }),
  tlsMemory,
  http2Memory,
  loadCase('connections', 'A new connection for each request', wrk({ headers: ['Connection: close'] }), { handle: 0.9 }),
  loadCase('down', '1 MiB down', wrk({ path: '/down' }), { handle: 0.95 }),
  loadCase('up', '1 MiB up', wrk({ path: '/up', script: 'upload' }), { handle: 0.95 }),
  accessLog,
  routes,
  workers,
  rateLimit,
  globalLimit,
  compression,
  healing,
  ...gatewayCases,
  latency,
];
