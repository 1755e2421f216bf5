/**
 * The part of an API server that this folder talks to, on a real socket: Leases with versions, server-side apply to statuses
 * with owners of fields, Events, Services. As far as it goes, it does what the real one does.
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ApiClient } from '../sources/kubernetes/api-client.ts';

export interface StoredObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Record<string, unknown> & { name: string; namespace: string; uid: string; resourceVersion: string };
  spec?: Record<string, unknown>;
  status?: Record<string, unknown>;
}

export interface Call {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly contentType: string | undefined;
  readonly body: Record<string, unknown> | undefined;
  readonly at: number;
}

export interface Answer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

const PLURALS: Readonly<Record<string, string>> = {
  ingresses: 'Ingress',
  apiroutes: 'ApiRoute',
  ratelimitpolicies: 'RateLimitPolicy',
  authpolicies: 'AuthPolicy',
  apiconsumers: 'ApiConsumer',
  backendpolicies: 'BackendPolicy',
  leases: 'Lease',
  events: 'Event',
  services: 'Service',
};

export class FakeApiServer {
  readonly calls: Call[] = [];
  /** An answer in place of the true one. */
  fault: (call: Call) => Answer | undefined = () => undefined;
  /** As a watch would show it. */
  onChange: (kind: string, object: StoredObject) => void = () => {};
  readonly #server: Server;
  readonly #objects = new Map<string, StoredObject>();
  /** What each manager applied last, by object. */
  readonly #applied = new Map<string, Map<string, Record<string, unknown>>>();
  readonly #clients: ApiClient[] = [];
  #version = 100;

  private constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const url = new URL(request.url ?? '/', 'http://server');
        const text = Buffer.concat(chunks).toString();
        const call: Call = {
          method: request.method ?? '',
          path: url.pathname,
          query: url.searchParams,
          contentType: request.headers['content-type'],
          body: text === '' ? undefined : (JSON.parse(text) as Record<string, unknown>),
          at: performance.now(),
        };
        this.calls.push(call);
        const { status, body, headers } = this.fault(call) ?? this.#serve(call);
        response.writeHead(status, { 'content-type': 'application/json', ...headers });
        response.end(JSON.stringify(body ?? { kind: 'Status', code: status, reason: REASONS[status] ?? '', message: `fault ${status}` }));
      });
    });
  }

  static async start(): Promise<FakeApiServer> {
    const server = new FakeApiServer();
    server.#server.listen(0, '127.0.0.1');
    await once(server.#server, 'listening');
    return server;
  }

  client(): ApiClient {
    const server = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    const client = new ApiClient({ server, namespace: 'tidegate-system', credentials: () => Promise.resolve({ headers: {}, tls: {} }), forget: () => {} });
    this.#clients.push(client);
    return client;
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  /** @param path of the collection, as `/apis/networking.k8s.io/v1/namespaces/shop/ingresses` */
  put(
    path: string,
    name: string,
    content: { spec?: Record<string, unknown>; status?: Record<string, unknown>; annotations?: Record<string, string> } = {},
  ): StoredObject {
    const { annotations = {}, ...rest } = content;
    const [, , group, version, , namespace = '', plural = ''] = path.startsWith('/api/') ? ['', '', '', ...path.split('/').slice(2)] : path.split('/');
    const object: StoredObject = {
      apiVersion: `${group}/${version}`,
      kind: PLURALS[plural] ?? plural,
      metadata: { name, namespace, uid: `uid-${++this.#version}`, resourceVersion: String(this.#version), annotations },
      ...rest,
    };
    this.#store(`${path}/${name}`, object);
    return object;
  }

  get(path: string): StoredObject | undefined {
    return this.#objects.get(path);
  }

  remove(path: string): void {
    this.#objects.delete(path);
    this.#applied.delete(path);
  }

  /** An edit of what is wanted. */
  update(path: string, { annotations, ...content }: { spec?: Record<string, unknown>; annotations?: Record<string, string> }): void {
    const object = this.#objects.get(path) as StoredObject;
    this.#store(path, { ...object, ...content, metadata: { ...object.metadata, ...(annotations === undefined ? {} : { annotations }) } });
  }

  /** Another writer's update of a status. */
  setStatus(path: string, status: Record<string, unknown>): void {
    const object = this.#objects.get(path) as StoredObject;
    this.#store(path, { ...object, status });
  }

  list(kind: string): StoredObject[] {
    return [...this.#objects.values()].filter((object) => object.kind === kind);
  }

  #serve(call: Call): Answer {
    const { method, path } = call;
    if (method === 'POST') {
      const name = String((call.body?.metadata as { name?: string } | undefined)?.name);
      if (this.#objects.has(`${path}/${name}`)) return { status: 409, body: status(409, 'AlreadyExists', `${name} already exists`) };
      return { status: 201, body: this.#create(`${path}/${name}`, call.body as unknown as StoredObject) };
    }
    const own = path.replace(/\/status$/, '');
    const object = this.#objects.get(own);
    if (object === undefined) return { status: 404, body: status(404, 'NotFound', `${own} not found`) };
    if (method === 'GET') return { status: 200, body: object };
    const metadata = call.body?.metadata as { uid?: string; resourceVersion?: string };
    const isStale = metadata.resourceVersion !== undefined && metadata.resourceVersion !== object.metadata.resourceVersion;
    if (isStale || (metadata.uid !== undefined && metadata.uid !== object.metadata.uid)) {
      return { status: 409, body: status(409, 'Conflict', 'the object has been modified') };
    }
    if (method === 'PUT') return { status: 200, body: this.#store(own, { ...object, ...(call.body as object) }) };
    if (method === 'PATCH' && own !== path && call.contentType === 'application/apply-patch+yaml') return { status: 200, body: this.#apply(own, object, call) };
    return { status: 405 };
  }

  #create(path: string, object: StoredObject): StoredObject {
    return this.#store(path, { ...object, metadata: { ...object.metadata, uid: `uid-${++this.#version}` } });
  }

  #store(path: string, object: StoredObject): StoredObject {
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#version) } };
    this.#objects.set(path, stored);
    this.onChange(stored.kind, stored);
    return stored;
  }

  /** Server-side apply of a status: conditions are merged by type, all else is one value; what its owner leaves out goes. */
  #apply(path: string, object: StoredObject, { body, query }: Call): StoredObject {
    const manager = String(query.get('fieldManager'));
    const next = (body?.status ?? {}) as Record<string, unknown>;
    const owners = this.#applied.get(path) ?? new Map<string, Record<string, unknown>>();
    const before = owners.get(manager) ?? {};
    const now: Record<string, unknown> = { ...object.status };
    const others = [...owners].filter(([name]) => name !== manager).map(([, applied]) => applied);
    for (const field of Object.keys(before)) if (!(field in next) && field !== 'conditions' && !others.some((other) => field in other)) delete now[field];
    // By force: who applied another value owns it no more.
    for (const other of others)
      for (const field of Object.keys(other)) if (field in next && JSON.stringify(other[field]) !== JSON.stringify(next[field])) delete other[field];
    const dropped = new Set(typesOf(before.conditions));
    const applied = (next.conditions ?? []) as { type: string }[];
    const kept = ((object.status?.conditions ?? []) as { type: string }[]).filter(
      ({ type }) => !dropped.has(type) && !applied.some((one) => one.type === type),
    );
    if (kept.length + applied.length > 0) now.conditions = [...kept, ...applied];
    else delete now.conditions;
    for (const [field, value] of Object.entries(next)) if (field !== 'conditions') now[field] = value;
    if (Object.keys(next).length === 0) owners.delete(manager);
    else owners.set(manager, { ...next });
    this.#applied.set(path, owners);
    const managedFields = [...owners]
      .flatMap(([name, applied]) => (Object.keys(applied).length === 0 ? [] : [name]))
      .map((name) => ({ manager: name, operation: 'Apply', subresource: 'status' }));
    const isSame = JSON.stringify([now, managedFields]) === JSON.stringify([object.status ?? {}, object.metadata.managedFields ?? []]);
    return isSame ? object : this.#store(path, { ...object, metadata: { ...object.metadata, managedFields }, status: now });
  }
}

const REASONS: Readonly<Record<number, string>> = {
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  422: 'Invalid',
  429: 'TooManyRequests',
  500: 'InternalError',
};

function status(code: number, reason: string, message: string): unknown {
  return { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message };
}

function typesOf(conditions: unknown): string[] {
  return ((conditions ?? []) as { type: string }[]).map(({ type }) => type);
}
