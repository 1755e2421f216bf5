/** The addresses of `--publish-service`, followed as they change. */
import { oneLine, reasonOf } from '../sources/kubernetes/errors.ts';
import type { ApiCalls, StatusLog } from './api-calls.ts';
import type { Clock } from './clock.ts';
import { addressesOfService, type PublishedAddress, type PublishedServiceObject } from './published-address.ts';

/** A load balancer gets its address once, minutes after the Service; it need not be watched. Milliseconds. */
const LOOK_PERIOD = 5000;
const CALL_TIMEOUT = 10_000;

export interface PublishedServiceOptions {
  readonly api: ApiCalls;
  readonly namespace: string;
  readonly name: string;
  readonly clock: Clock;
  readonly log: StatusLog;
  readonly onChange: () => void;
}

export class PublishedService {
  readonly #options: PublishedServiceOptions;
  readonly #stop = new AbortController();
  #addresses: readonly PublishedAddress[] | undefined;
  #toldFailure = '';
  #running: Promise<void> | undefined;

  constructor(options: PublishedServiceOptions) {
    this.#options = options;
  }

  /** The last that were seen, also while the Service can't be read; undefined before that. */
  get addresses(): readonly PublishedAddress[] | undefined {
    return this.#addresses;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { api, namespace, name, clock } = this.#options;
    const signal = this.#stop.signal;
    while (!signal.aborted) {
      try {
        const path = `/api/v1/namespaces/${namespace}/services/${name}`;
        this.#take(addressesOfService(await api.request<PublishedServiceObject>({ method: 'GET', path, timeout: CALL_TIMEOUT, signal })));
      } catch (error) {
        if (!signal.aborted) this.#fail(error);
      }
      await clock.sleep(LOOK_PERIOD, signal);
    }
  }

  #take(addresses: readonly PublishedAddress[]): void {
    const { log, namespace, name, onChange } = this.#options;
    if (this.#toldFailure !== '') log('info', 'the Service of --publish-service is read again', { service: `${namespace}/${name}` });
    this.#toldFailure = '';
    if (JSON.stringify(addresses) === JSON.stringify(this.#addresses)) return;
    this.#addresses = addresses;
    log('info', 'published addresses', { service: `${namespace}/${name}`, addresses });
    onChange();
  }

  #fail(error: unknown): void {
    const reason = reasonOf(error);
    if (reason === this.#toldFailure) return;
    this.#toldFailure = reason;
    const { log, namespace, name } = this.#options;
    log('warn', 'the Service of --publish-service can not be read', { service: `${namespace}/${name}`, reason, error: oneLine(error) });
  }
}
