/** Where the API server can be reached: as we are told, as its names resolve, and as the cluster's own Service says. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { ResourceSet } from '../../resources/resource-set.ts';

/** Names are resolved again after this long (ms). */
const RESOLVE_INTERVAL = 60_000;
/** Service and EndpointSlice that the API server makes of itself. */
const KUBERNETES = 'default/kubernetes';

export class ApiServerAddresses {
  readonly #host: string;
  readonly #port: number;
  readonly #onChange: () => void;
  #resolved: readonly string[] = [];
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /**
   * @param server its URL
   * @param onChange called when its name resolves to other addresses
   */
  constructor(server: string, onChange: () => void) {
    const { hostname, port, protocol } = new URL(server);
    this.#host = hostname.replace(/^\[|\]$/g, '').toLowerCase();
    this.#port = port === '' ? (protocol === 'http:' ? 80 : 443) : Number(port);
    this.#onChange = onChange;
    if (isIP(this.#host) === 0) void this.#resolve();
  }

  /** @returns as `ResourceSet.apiServer` has them */
  of({ services, endpointSlices }: ResourceSet): string[] {
    const found = new Set([`${this.#host} ${this.#port}`, ...this.#resolved.map((address) => `${address} ${this.#port}`)]);
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
    clearTimeout(this.#timer);
  }

  async #resolve(): Promise<void> {
    // What a name led to stays when it can't be resolved.
    const answers = await lookup(this.#host, { all: true }).catch(() => undefined);
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.#resolve(), RESOLVE_INTERVAL).unref();
    const addresses = answers?.map(({ address }) => address).sort();
    if (addresses === undefined || addresses.join() === this.#resolved.join()) return;
    this.#resolved = addresses;
    this.#onChange();
  }
}
