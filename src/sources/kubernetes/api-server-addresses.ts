/**
 * Where the API server can be reached: as we are told, as its names resolve, as it says itself, and as the cluster's own
 * Service says, where that is in a namespace that is watched.
 */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { ResourceSet } from '../../resources/resource-set.ts';
import type { ApiClient } from './api-client.ts';

/** Names are resolved again, and the server is asked again, after this long (ms). */
const INTERVAL = 60_000;
/** Of several servers each tells its own address, and servers are replaced: the newest of them are known. */
const MOST_TOLD = 32;
/** Service and EndpointSlice that the API server makes of itself. */
const KUBERNETES = 'default/kubernetes';

export class ApiServerAddresses {
  readonly #host: string;
  readonly #port: number;
  readonly #client: Pick<ApiClient, 'server' | 'request'>;
  readonly #interval: number;
  readonly #onChange: () => void;
  readonly #stop = new AbortController();
  #resolved: readonly string[] = [];
  /** What servers said, as `host port`; what was said last comes last. */
  readonly #told = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #asking: NodeJS.Timeout | undefined;
  #closed = false;

  /**
   * @param onChange called when it is known to be elsewhere, too
   * @param interval milliseconds
   */
  constructor(client: Pick<ApiClient, 'server' | 'request'>, onChange: () => void, interval = INTERVAL) {
    const { hostname, port, protocol } = new URL(client.server);
    this.#client = client;
    this.#interval = interval;
    this.#host = hostname.replace(/^\[|\]$/g, '').toLowerCase();
    this.#port = port === '' ? (protocol === 'http:' ? 80 : 443) : Number(port);
    this.#onChange = onChange;
    if (isIP(this.#host) === 0) void this.#resolve();
    void this.#ask();
  }

  /** @returns as `ResourceSet.apiServer` has them */
  of({ services, endpointSlices }: ResourceSet): string[] {
    const found = new Set([`${this.#host} ${this.#port}`, ...this.#resolved.map((address) => `${address} ${this.#port}`), ...this.#told]);
    const service = services.get(KUBERNETES)?.object;
    const clusterIP = service?.spec.clusterIP;
    if (clusterIP !== undefined && isIP(clusterIP) !== 0) for (const { port } of service?.spec.ports ?? []) found.add(`${clusterIP} ${port}`);
    const slice = endpointSlices.get(KUBERNETES)?.object;
    for (const { addresses } of slice?.endpoints ?? []) {
      for (const address of addresses) for (const { port } of slice?.ports ?? []) if (port !== undefined) found.add(`${address} ${port}`);
    }
    return [...found].sort();
  }

  close(): void {
    this.#closed = true;
    this.#stop.abort();
    clearTimeout(this.#timer);
    clearTimeout(this.#asking);
  }

  /** Every server tells everybody whom it knows (`kubectl get --raw /api`); one that does not is asked again. */
  async #ask(): Promise<void> {
    const answer = await this.#client.request<ApiVersions>({ method: 'GET', path: '/api', signal: this.#stop.signal }).catch(() => undefined);
    if (this.#closed) return;
    this.#asking = setTimeout(() => void this.#ask(), this.#interval).unref();
    const list = answer?.serverAddressByClientCIDRs;
    let isOther = false;
    for (const one of Array.isArray(list) ? list : []) {
      const url = typeof one?.serverAddress === 'string' ? URL.parse(`https://${one.serverAddress}`) : null;
      if (url === null) continue;
      const told = `${url.hostname.replace(/^\[|\]$/g, '')} ${url.port === '' ? 443 : url.port}`;
      if (!this.#told.delete(told)) isOther = true;
      this.#told.add(told);
    }
    for (const oldest of this.#told) {
      if (this.#told.size <= MOST_TOLD) break;
      this.#told.delete(oldest);
    }
    if (isOther) this.#onChange();
  }

  async #resolve(): Promise<void> {
    // What a name led to stays when it can't be resolved.
    const answers = await lookup(this.#host, { all: true }).catch(() => undefined);
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.#resolve(), this.#interval).unref();
    const addresses = answers?.map(({ address }) => address).sort();
    if (addresses === undefined || addresses.join() === this.#resolved.join()) return;
    this.#resolved = addresses;
    this.#onChange();
  }
}

interface ApiVersions {
  readonly serverAddressByClientCIDRs?: readonly ({ readonly serverAddress?: unknown } | null)[] | null;
}
