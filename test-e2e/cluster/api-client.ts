/** A small client of the API server: one call, one answer, nothing tried again. */
import { Agent, request } from 'node:https';
import type { Connection } from './kubeconfig.ts';

export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly [field: string]: unknown;
  };
  // biome-ignore lint/suspicious/noExplicitAny: objects of every kind, which tests look into.
  readonly [field: string]: any;
}

export interface ApiAnswer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: objects of every kind, which tests look into.
  readonly body: any;
}

/** An answer beyond 299. */
export class ApiError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Plurals that are not the kind in small letters with an s behind it. */
function plural(kind: string): string {
  const small = kind.toLowerCase();
  if (small === 'endpoints') return small;
  if (small.endsWith('s')) return `${small}es`;
  return small.endsWith('y') && !/[aeiou]y$/.test(small) ? `${small.slice(0, -1)}ies` : `${small}s`;
}

const CLUSTER_WIDE = new Set(['Namespace', 'Node', 'IngressClass', 'ClusterRole', 'ClusterRoleBinding', 'CustomResourceDefinition', 'PriorityClass']);

/** Path of an object, or of its collection when it has no name. */
export function pathOf(object: {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name?: string; readonly namespace?: string };
}): string {
  const { apiVersion, kind, metadata } = object;
  const base = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const scope = CLUSTER_WIDE.has(kind) ? '' : `/namespaces/${metadata.namespace ?? 'default'}`;
  return `${base}${scope}/${plural(kind)}${metadata.name === undefined ? '' : `/${metadata.name}`}`;
}

export class ApiClient {
  readonly #connection: Connection;
  readonly #agent: Agent;

  constructor(connection: Connection) {
    this.#connection = connection;
    const { ca, cert, key } = connection;
    // The API server closes connections that nobody uses for 90 s, whatever is on its way to it then.
    this.#agent = new Agent({ keepAlive: true, timeout: 30_000, maxSockets: 16, ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) });
  }

  /**
   * One call, whatever it is answered with.
   *
   * @param path with its query
   * @param body sent as JSON
   */
  async call(method: string, path: string, body?: unknown, contentType = 'application/json'): Promise<ApiAnswer> {
    const { status, isJson, text } = await this.#send(method, path, body, contentType);
    return { status, body: isJson ? JSON.parse(text) : text };
  }

  /** The states that an object has had since that version of it, from the API server's own history. @throws ApiError */
  async states({ apiVersion, kind, metadata }: Parameters<typeof pathOf>[0], resourceVersion: string): Promise<readonly KubernetesObject[]> {
    const { name, ...rest } = metadata;
    const query = `watch=1&timeoutSeconds=1&resourceVersion=${resourceVersion}&fieldSelector=metadata.name=${name}`;
    const { status, text } = await this.#send('GET', `${pathOf({ apiVersion, kind, metadata: rest })}?${query}`);
    if (status !== 200) this.#good({ status, body: JSON.parse(text) });
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line).object);
  }

  async #send(method: string, path: string, body?: unknown, contentType = 'application/json'): Promise<{ status: number; isJson: boolean; text: string }> {
    const { host, port, token } = this.#connection;
    const text = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const outgoing = request(
        {
          host,
          port,
          path,
          method,
          agent: this.#agent,
          headers: {
            accept: 'application/json',
            ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
            ...(text === undefined ? {} : { 'content-type': contentType, 'content-length': Buffer.byteLength(text) }),
          },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const isJson = response.headers['content-type']?.startsWith('application/json') === true;
            resolve({ status: response.statusCode ?? 0, isJson, text: Buffer.concat(chunks).toString() });
          });
        },
      );
      outgoing.on('error', reject);
      outgoing.end(text);
    });
  }

  /** @throws ApiError */
  async get(object: Parameters<typeof pathOf>[0]): Promise<KubernetesObject> {
    return this.#good(await this.call('GET', pathOf(object)));
  }

  /** Server-side apply, in strict validation, taking fields over. @throws ApiError */
  async apply(object: KubernetesObject, fieldManager = 'tidegate-e2e'): Promise<KubernetesObject> {
    const path = `${pathOf(object)}?fieldManager=${fieldManager}&force=true&fieldValidation=Strict`;
    return this.#good(await this.call('PATCH', path, object, 'application/apply-patch+yaml'));
  }

  /** @throws ApiError */
  async create(object: KubernetesObject): Promise<KubernetesObject> {
    const { name: _, ...metadata } = object.metadata;
    return this.#good(await this.call('POST', `${pathOf({ ...object, metadata })}?fieldValidation=Strict`, object));
  }

  /** @param patch a JSON merge patch @throws ApiError */
  async patch(object: KubernetesObject, patch: unknown, subresource = ''): Promise<KubernetesObject> {
    return this.#good(await this.call('PATCH', `${pathOf(object)}${subresource === '' ? '' : `/${subresource}`}`, patch, 'application/merge-patch+json'));
  }

  /** No error when it is not there. @param graceSeconds of a Pod @throws ApiError */
  async delete(object: Parameters<typeof pathOf>[0], graceSeconds?: number): Promise<void> {
    const answer = await this.call('DELETE', pathOf(object), graceSeconds === undefined ? undefined : { gracePeriodSeconds: graceSeconds });
    if (answer.status !== 404) this.#good(answer);
  }

  /** Closes what is kept open. */
  close(): void {
    this.#agent.destroy();
  }

  #good(answer: ApiAnswer): KubernetesObject {
    if (answer.status > 299) throw new ApiError(answer.status, typeof answer.body === 'string' ? answer.body : answer.body.message);
    return answer.body;
  }
}
