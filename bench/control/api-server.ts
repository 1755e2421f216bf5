/** Calls of the API server, many at a time: what the bench loads the cluster with, and changes in it. */
import { Agent, request } from 'node:https';
import { type KubernetesObject, pathOf } from '../../test-e2e/cluster/api-client.ts';
import { readKubeconfig } from '../../test-e2e/cluster/kubeconfig.ts';

const PARALLEL = 48;

export class ApiServer {
  readonly #connection: ReturnType<typeof readKubeconfig>;
  readonly #agent: Agent;

  constructor(kubeconfig: string) {
    this.#connection = readKubeconfig(kubeconfig);
    const { ca, cert, key } = this.#connection;
    this.#agent = new Agent({ keepAlive: true, maxSockets: PARALLEL, ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) });
  }

  async create(object: KubernetesObject): Promise<void> {
    const { name: _name, ...metadata } = object.metadata;
    await this.#call('POST', pathOf({ ...object, metadata }), object);
  }

  async replace(object: KubernetesObject): Promise<void> {
    await this.#call('PUT', pathOf(object), object);
  }

  async delete(object: KubernetesObject): Promise<void> {
    await this.#call('DELETE', pathOf(object));
  }

  /** @returns how many there were */
  async createAll(objects: Iterable<KubernetesObject>): Promise<number> {
    const rest = objects[Symbol.iterator]();
    let count = 0;
    const worker = async (): Promise<void> => {
      for (let next = rest.next(); next.done !== true; next = rest.next()) {
        await this.create(next.value);
        count++;
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, worker));
    return count;
  }

  close(): void {
    this.#agent.destroy();
  }

  /** @throws (rejects) when the answer is no good one */
  async #call(method: string, path: string, body?: unknown): Promise<void> {
    const { host, port, token } = this.#connection;
    const text = body === undefined ? '' : JSON.stringify(body);
    const headers = {
      accept: 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(text === '' ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
    };
    await new Promise<void>((resolve, reject) => {
      request({ host, port, path, method, agent: this.#agent, headers }, (response) => {
        const good = (response.statusCode ?? 0) < 300;
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => good || chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => (good ? resolve() : reject(new Error(`${method} ${path}: ${response.statusCode} ${Buffer.concat(chunks).toString()}`))));
      })
        .on('error', reject)
        .end(text);
    });
  }
}
