/** An API server in miniature, on a real socket: lists in pages and as streams, watches, bookmarks, selectors; and every fault that a test asks for. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { ApiClient } from './api-client.ts';
import type { ClusterAccess } from './cluster-access.ts';

export interface FakeObject {
  readonly metadata: Readonly<Record<string, unknown>> & { readonly name: string; readonly namespace?: string };
  readonly [field: string]: unknown;
}

export interface FakeRequest {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly authorization: string | undefined;
  /** Nothing but metadata is asked for. */
  readonly isOfMetadata: boolean;
  readonly isWatch: boolean;
  readonly isStreamingList: boolean;
}

/** @returns whether it has answered, or will */
type Intercept = (request: FakeRequest, response: ServerResponse, incoming: IncomingMessage) => boolean;

interface Change {
  readonly version: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly collection: string;
  readonly object: FakeObject;
}

interface Watcher {
  readonly response: ServerResponse;
  readonly request: FakeRequest;
}

export class FakeApiServer {
  readonly requests: FakeRequest[] = [];
  /** Called when a watch begins. */
  onWatch: () => void = () => {};
  /** Asked before anything else is done with a request. */
  intercept: Intercept = () => false;
  /** Whether lists may come as streams. */
  streams = true;
  /** Versions below are forgotten: watches from there are 410. */
  compacted = 0;
  /** Collections, as `/api/v1/services`, that are not there. */
  readonly missing = new Set<string>();
  readonly watchers = new Set<Watcher>();
  readonly #server: Server;
  readonly #objects = new Map<string, Map<string, FakeObject>>();
  readonly #history: Change[] = [];
  #version = 100;
  #waiting: { readonly test: (request: FakeRequest) => boolean; readonly resolve: (request: FakeRequest) => void }[] = [];

  private constructor() {
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  static async start(t: TestContext): Promise<FakeApiServer> {
    const fake = new FakeApiServer();
    await fake.listen(0);
    t.after(() => fake.stop());
    return fake;
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get version(): number {
    return this.#version;
  }

  /** A client of it, closed with the test. */
  client(t: TestContext, access: Partial<ClusterAccess> = {}): ApiClient {
    const client = new ApiClient({
      server: `http://127.0.0.1:${this.port}`,
      namespace: 'default',
      credentials: async () => ({ headers: { authorization: 'Bearer one' }, tls: {} }),
      forget: () => {},
      ...access,
    });
    t.after(() => client.close());
    return client;
  }

  /** @param collection without a namespace, as `/api/v1/services` */
  put(collection: string, object: FakeObject): FakeObject {
    const key = `${object.metadata.namespace ?? ''}/${object.metadata.name}`;
    const known = this.#objects.get(collection) ?? new Map<string, FakeObject>();
    this.#objects.set(collection, known);
    this.#version++;
    const before = known.get(key);
    const metadata = {
      uid: before?.metadata.uid ?? `uid-${this.#version}`,
      creationTimestamp: before?.metadata.creationTimestamp ?? '2026-01-01T00:00:00Z',
      ...object.metadata,
      resourceVersion: String(this.#version),
    };
    const stored = { ...object, metadata };
    known.set(key, stored);
    this.#change({ version: this.#version, type: before === undefined ? 'ADDED' : 'MODIFIED', collection, object: stored });
    return stored;
  }

  remove(collection: string, namespace: string, name: string): void {
    const known = this.#objects.get(collection);
    const object = known?.get(`${namespace}/${name}`);
    if (known === undefined || object === undefined) return;
    known.delete(`${namespace}/${name}`);
    this.#version++;
    const gone = { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version) } };
    this.#change({ version: this.#version, type: 'DELETED', collection, object: gone });
  }

  /** A bookmark to every watcher, with the newest version. */
  bookmark(): void {
    for (const { response } of this.watchers) send(response, 'BOOKMARK', { metadata: { resourceVersion: String(this.#version) } });
  }

  /** An ERROR event to every watcher, and the end. */
  fail(status: object): void {
    for (const { response } of this.watchers) {
      send(response, 'ERROR', status);
      response.end();
    }
  }

  /** Half a line to every watcher, and a cut connection. */
  cut(): void {
    for (const watcher of this.watchers) {
      this.watchers.delete(watcher);
      watcher.response.write('{"type":"ADDED","obj', () => watcher.response.destroy());
    }
  }

  /** Resolves with the next request that the test fits. */
  async next(test: (request: FakeRequest) => boolean): Promise<FakeRequest> {
    return new Promise((resolve) => this.#waiting.push({ test, resolve }));
  }

  #answer(incoming: IncomingMessage, response: ServerResponse): void {
    const url = new URL(incoming.url ?? '/', 'http://fake');
    const isWatch = url.searchParams.get('watch') === 'true';
    const isStreamingList = url.searchParams.get('sendInitialEvents') === 'true';
    const isOfMetadata = /;as=PartialObjectMetadata(List)?;g=meta\.k8s\.io;v=v1/.test(incoming.headers.accept ?? '');
    const request = { path: url.pathname, query: url.searchParams, authorization: incoming.headers.authorization, isOfMetadata, isWatch, isStreamingList };
    this.requests.push(request);
    const due = this.#waiting.filter(({ test }) => test(request));
    this.#waiting = this.#waiting.filter((one) => !due.includes(one));
    for (const { resolve } of due) resolve(request);
    if (this.intercept(request, response, incoming)) return;
    const [collection = '', namespace, name] = placeOf(url.pathname);
    if (this.missing.has(collection)) status(response, 404, 'NotFound', 'the server could not find the requested resource');
    else if (name !== undefined) {
      const object = this.#objects.get(collection)?.get(`${namespace}/${name}`);
      if (object === undefined) status(response, 404, 'NotFound', `"${name}" not found`);
      else response.end(JSON.stringify(object));
    } else if (isWatch) this.#watch(request, response);
    else this.#list(request, response);
  }

  #list({ path, query, isOfMetadata }: FakeRequest, response: ServerResponse): void {
    const all = this.#select(path, query);
    const start = Number(query.get('continue') ?? 0);
    const limit = Number(query.get('limit') ?? 0) || all.length;
    const end = start + limit;
    const metadata = { resourceVersion: String(this.#version), ...(end < all.length ? { continue: String(end) } : {}) };
    response.end(JSON.stringify({ kind: 'List', metadata, items: all.slice(start, end).map((object) => formOf(object, isOfMetadata)) }));
  }

  #watch(request: FakeRequest, response: ServerResponse): void {
    const { path, query, isStreamingList, isOfMetadata } = request;
    if (isStreamingList && !this.streams) {
      status(response, 422, 'Invalid', 'sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled');
      return;
    }
    const since = Number(query.get('resourceVersion') ?? 0);
    if (!isStreamingList && since < this.compacted) {
      status(response, 410, 'Expired', `too old resource version: ${since}`);
      return;
    }
    response.writeHead(200);
    response.flushHeaders();
    if (isStreamingList) {
      for (const object of this.#select(path, query)) send(response, 'ADDED', formOf(object, isOfMetadata));
      send(response, 'BOOKMARK', { metadata: { resourceVersion: String(this.#version), annotations: { 'k8s.io/initial-events-end': 'true' } } });
    } else {
      for (const change of this.#history)
        if (change.version > since && fits(change.collection, change.object, path, query)) send(response, change.type, formOf(change.object, isOfMetadata));
    }
    const watcher = { request, response };
    this.watchers.add(watcher);
    this.onWatch();
    response.on('close', () => this.watchers.delete(watcher));
  }

  #select(path: string, query: URLSearchParams): FakeObject[] {
    const [collection = ''] = placeOf(path);
    return [...(this.#objects.get(collection)?.values() ?? [])].filter((object) => fits(collection, object, path, query));
  }

  #change(change: Change): void {
    this.#history.push(change);
    for (const { request, response } of this.watchers)
      if (fits(change.collection, change.object, request.path, request.query)) send(response, change.type, formOf(change.object, request.isOfMetadata));
  }
}

/** @param code HTTP status */
export function status(response: ServerResponse, code: number, reason: string, message = reason, headers: Readonly<Record<string, string>> = {}): void {
  response.writeHead(code, headers);
  response.end(JSON.stringify({ kind: 'Status', status: 'Failure', code, reason, message }));
}

function formOf(object: FakeObject, isOfMetadata: boolean): object {
  return isOfMetadata ? { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata } : object;
}

function send(response: ServerResponse, type: string, object: unknown): void {
  response.write(`${JSON.stringify({ type, object })}\n`);
}

/** `/api/v1/namespaces/shop/services/web`: collection, namespace, name. */
function placeOf(path: string): [collection: string, namespace: string | undefined, name: string | undefined] {
  const match = /^(\/api\/v1|\/apis\/[^/]+\/[^/]+)(?:\/namespaces\/([^/]+))?\/([^/]+)(?:\/([^/]+))?$/.exec(path);
  return [`${match?.[1]}/${match?.[3]}`, match?.[2], match?.[4]];
}

function fits(collection: string, { metadata, type }: FakeObject, path: string, query: URLSearchParams): boolean {
  const [asked, namespace] = placeOf(path);
  if (asked !== collection || (namespace !== undefined && metadata.namespace !== namespace)) return false;
  const fields: Readonly<Record<string, unknown>> = { 'metadata.name': metadata.name, type };
  return (query.get('fieldSelector') ?? '').split(',').every((term) => {
    const [, field = '', operator, value] = /^([^=!]*)(!?=)(.*)$/.exec(term) ?? [];
    return field === '' || (operator === '=') === (fields[field] === value);
  });
}
