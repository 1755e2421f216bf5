/** Between translation and the workers: endpoints that are names become endpoints with addresses, so that workers resolve nothing. */
import { isIP } from 'node:net';
import { forbiddenAddress } from '../exchange/forbidden-address.ts';
import { sameEndpoints, withEndpoints } from '../snapshot/equal.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Endpoint, UpstreamKey } from '../snapshot/upstream.ts';
import { isApiServer } from '../translate/addresses.ts';
import { compareText } from '../translate/order.ts';
import type { NameTrouble, NameTroubles } from '../translate/services.ts';
import type { NameLookup } from './name-lookup.ts';
import { LOOKUP_TIMEOUT, type NameCounts, type NameLog, NameResolver } from './name-resolver.ts';
import type { ControllerLog } from './object-log.ts';
import type { Publisher } from './publisher.ts';

/** How long a snapshot with new names waits for their addresses (ms), so that no route is without endpoints for a moment. */
const HOLD_OFF = 500;
/** Upstreams that a line of the log names. */
const MOST_TOLD = 10;

type Endpoints = ReadonlyMap<UpstreamKey, readonly Endpoint[]>;

export interface ResolvingOptions {
  readonly lookup: NameLookup;
  readonly log: ControllerLog;
  /** In a folder's mode. */
  readonly allowLoopbackEndpoints: boolean;
  /** Of URLs that policies name; absent: as `allowLoopbackEndpoints`. */
  readonly allowLoopbackFetch?: boolean;
  /** What is to be told of routes that use names; called when it changes. */
  readonly onTroubles?: (troubles: NameTroubles) => void;
  /** From 0 to 1, for jitter; chance where it is not given. */
  readonly random?: () => number;
}

/**
 * Publishes what it is given with addresses in place of names, and endpoints again when names lead elsewhere. An address that
 * no endpoint may have is dropped, whoever's name leads there and whenever it does.
 */
export class ResolvingPublisher implements Publisher {
  readonly #publisher: Publisher;
  readonly #options: ResolvingOptions;
  readonly #names: NameResolver;
  #apiServer: readonly string[] = [];
  /** Of the newest snapshot, upstreams that have a name among their endpoints, as translation gave them. */
  #named: Endpoints = new Map();
  /** Those of the newest snapshot, and the upstreams among them that have had others since. */
  #given: Endpoints = new Map();
  readonly #changed = new Set<UpstreamKey>();
  /** Addresses that were dropped, by upstream; told of in the log. */
  readonly #refused = new Map<UpstreamKey, number>();
  #troubles: NameTroubles = new Map();
  #isJudging = false;
  #isClosed = false;
  #published: Snapshot | undefined;
  /** Waits for addresses of new names. */
  #held: Snapshot | undefined;
  #holdOff: NodeJS.Timeout | undefined;

  /** @param publisher where it all goes */
  constructor(publisher: Publisher, options: ResolvingOptions) {
    const { lookup, random = Math.random } = options;
    this.#publisher = publisher;
    this.#options = options;
    const log: NameLog = (level, message, fields) => options.log(level, message, { ...fields, upstreams: this.#usersOf(fields.name).slice(0, MOST_TOLD) });
    this.#names = new NameResolver({ lookup, log, random, onChange: (name) => this.#nameChanged(name) });
  }

  /** As the workers have it; undefined before the first. */
  get published(): Snapshot | undefined {
    return this.#published;
  }

  /** Of the names in use; `refused` counts the addresses that they lead to and that no endpoint may have. */
  get counts(): NameCounts & { readonly refused: number } {
    return { ...this.#names.counts, refused: [...this.#refused.values()].reduce((sum, count) => sum + count, 0) };
  }

  /**
   * Where the API server is from now on; endpoints there are taken back.
   * @param apiServer as `ResourceSet.apiServer` has it
   */
  refuse(apiServer: readonly string[]): void {
    if (apiServer === this.#apiServer) return;
    this.#apiServer = apiServer;
    this.#republish([...this.#named.keys()]);
    this.#judge();
  }

  snapshot(snapshot: Snapshot): void {
    this.#held = snapshot;
    this.#use(this.#namedOf(snapshot.endpoints));
    // Without a first snapshot nothing serves: there is no hurry but that of a look-up.
    if (this.#names.isWaiting) this.#holdOff ??= setTimeout(() => this.#release(), this.#published === undefined ? LOOKUP_TIMEOUT : HOLD_OFF);
    else this.#release();
  }

  endpoints(changes: Endpoints): void {
    const named = new Map(this.#named);
    for (const [key, list] of changes) {
      this.#changed.add(key);
      if (list.some(isName)) named.set(key, list);
      else named.delete(key);
    }
    this.#use(named);
    const held = this.#held;
    if (held !== undefined) this.#held = { ...held, endpoints: withEndpoints(held.endpoints, changes) };
    this.#publish(changes);
  }

  /** Nothing is published after it. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#holdOff);
    this.#held = undefined;
    this.#names.close();
  }

  /** Of ten thousand addresses only those are looked at that were not there before. */
  #namedOf(endpoints: Endpoints): Endpoints {
    const given = this.#given;
    if (endpoints === given && this.#changed.size === 0) return this.#named;
    const named = new Map<UpstreamKey, readonly Endpoint[]>();
    for (const [key, list] of endpoints) {
      const isKnown = list === given.get(key) && !this.#changed.has(key);
      if (isKnown ? this.#named.has(key) : list.some(isName)) named.set(key, list);
    }
    this.#given = endpoints;
    this.#changed.clear();
    return named;
  }

  #use(named: Endpoints): void {
    this.#named = named;
    for (const key of this.#refused.keys()) if (!named.has(key)) this.#refused.delete(key);
    this.#names.use(new Set([...named.values()].flatMap((list) => list.filter(isName).map(({ address }) => address))));
    this.#judge();
  }

  #release(): void {
    clearTimeout(this.#holdOff);
    this.#holdOff = undefined;
    const snapshot = this.#held;
    if (snapshot === undefined) return;
    this.#held = undefined;
    const resolved = [...this.#named].map(([key, list]) => [key, this.#resolve(key, list)] as const);
    this.#published = resolved.length === 0 ? snapshot : { ...snapshot, endpoints: new Map([...snapshot.endpoints, ...resolved]) };
    this.#publisher.snapshot(this.#published);
  }

  #nameChanged(name: string): void {
    this.#judge();
    if (this.#held !== undefined && !this.#names.isWaiting) {
      this.#release();
      return;
    }
    this.#republish(this.#usersOf(name));
  }

  #usersOf(name: string): UpstreamKey[] {
    return [...this.#named].filter(([, list]) => list.some(({ address }) => address === name)).map(([key]) => key);
  }

  #republish(keys: readonly UpstreamKey[]): void {
    this.#publish(new Map(keys.map((key) => [key, this.#named.get(key) ?? []])));
  }

  /** What really differs of it. @param endpoints as translation gave them; upstreams that are not published yet are passed over */
  #publish(endpoints: Endpoints): void {
    const before = this.#published;
    if (before === undefined) return;
    const changes = new Map<UpstreamKey, readonly Endpoint[]>();
    for (const [key, list] of endpoints) {
      if (!before.upstreams.has(key)) continue;
      const resolved = this.#named.has(key) ? this.#resolve(key, list) : list;
      if (!sameEndpoints(resolved, before.endpoints.get(key))) changes.set(key, resolved);
    }
    if (changes.size === 0) return;
    this.#published = { ...before, endpoints: withEndpoints(before.endpoints, changes) };
    this.#publisher.endpoints(changes);
  }

  #resolve(key: UpstreamKey, list: readonly Endpoint[]): readonly Endpoint[] {
    const allowed: Endpoint[] = [];
    const refused: { readonly name: string; readonly address: string; readonly reason: string }[] = [];
    for (const endpoint of list) {
      if (!isName(endpoint)) {
        allowed.push(endpoint);
        continue;
      }
      for (const address of this.#names.addressesOf(endpoint.address)) {
        const reason = this.#refusal(key, address, endpoint.port);
        if (reason === undefined) allowed.push({ ...endpoint, address });
        else refused.push({ name: endpoint.address, address, reason });
      }
    }
    this.#tell(key, refused);
    return allowed.sort((one, other) => compareText(one.address, other.address) || one.port - other.port);
  }

  /** Once for all that changes together. */
  #judge(): void {
    if (this.#isJudging || this.#options.onTroubles === undefined) return;
    this.#isJudging = true;
    queueMicrotask(() => {
      this.#isJudging = false;
      if (!this.#isClosed) this.#tellTroubles();
    });
  }

  #tellTroubles(): void {
    const troubles = new Map<UpstreamKey, NameTrouble>();
    for (const [key, list] of this.#named) {
      const trouble = list.map((endpoint) => (isName(endpoint) ? this.#troubleOf(key, endpoint) : undefined)).find((one) => one !== undefined);
      if (trouble !== undefined) troubles.set(key, trouble);
    }
    const before = this.#troubles;
    if (troubles.size === before.size && [...troubles].every(([key, { message }]) => before.get(key)?.message === message)) return;
    this.#troubles = troubles;
    this.#options.onTroubles?.(troubles);
  }

  #troubleOf(key: UpstreamKey, { address: name, port }: Endpoint): NameTrouble | undefined {
    const has = `has the externalName ${name}, which`;
    if (this.#names.isUnresolved(name))
      return { reason: 'BackendNotFound', message: `${has} can not be resolved`, hint: "name a host that the gateway's own DNS knows" };
    const refusal = this.#names
      .addressesOf(name)
      .map((address) => this.#refusal(key, address, port))
      .find((one) => one !== undefined);
    // Not the address: whoever owns the name may give another one each time.
    return refusal === undefined ? undefined : { reason: 'RefNotPermitted', message: `${has} leads to ${refusal}`, hint: 'name a host elsewhere' };
  }

  #refusal(key: UpstreamKey, address: string, port: number): string | undefined {
    if (isIP(address) === 0) return 'no address';
    const { allowLoopbackEndpoints, allowLoopbackFetch = allowLoopbackEndpoints } = this.#options;
    // Keys of Services have no colon.
    return (
      forbiddenAddress(address, key.includes('://') ? allowLoopbackFetch : allowLoopbackEndpoints) ??
      (isApiServer(this.#apiServer, address, port) ? 'the API server' : undefined)
    );
  }

  /** Once, however often the name changes its mind about where to lead. */
  #tell(upstream: UpstreamKey, refused: readonly { readonly name: string; readonly address: string; readonly reason: string }[]): void {
    const first = refused[0];
    if (first === undefined) {
      if (this.#refused.delete(upstream)) this.#options.log('info', 'a name leads to no refused address any more', { upstream });
      return;
    }
    if (!this.#refused.has(upstream)) this.#options.log('warn', 'a name leads to an address that no endpoint may have', { upstream, ...first });
    this.#refused.set(upstream, refused.length);
  }
}

function isName({ address }: Endpoint): boolean {
  return isIP(address) === 0;
}
