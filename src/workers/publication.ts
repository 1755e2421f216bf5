/** What workers have, and what is to be sent to them so that they have the next snapshot. */
import { isDeepStrictEqual } from 'node:util';
import { serialize } from 'node:v8';
import type { PublishedConsumer } from '../policies/auth/consumers.ts';
import type { ConsumerSpec } from '../snapshot/auth.ts';
import { changedEndpoints, sameCertificates, withEndpoints } from '../snapshot/equal.ts';
import { changedKeys } from '../snapshot/map-changes.ts';
import type { Route } from '../snapshot/route.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Passthrough } from '../snapshot/tls.ts';
import type { Endpoint, Upstream, UpstreamKey } from '../snapshot/upstream.ts';
import type { CheckedUpstream } from '../upstream/health/health-monitor.ts';
import type { BreakerSlots } from './breaker-slots.ts';
import { EndpointSlots, type OnSlotTaken } from './endpoint-slots.ts';
import type { ChangeEnd, ChangePart, PublishedCertificates, PublishedEndpoints, ToWorker } from './messages.ts';
import { RouteOrder } from './route-order.ts';

type Change = ToWorker & { readonly type: 'change' };
type EndpointsChange = ToWorker & { readonly type: 'endpoints' };

/** A worker reads a part in one go. Equal objects within a part are one object there. */
const ROUTES_A_PART = 250;
const UPSTREAMS_A_PART = 100;
const CONSUMERS_A_PART = 500;

/** What differs for whoever checks endpoints. */
export interface CheckedChange {
  /** Upstreams with a health check that are new or changed, with all their endpoints. */
  readonly set: readonly CheckedUpstream[];
  /** Those that are gone, or have none any more. */
  readonly removed: readonly UpstreamKey[];
}

export class Publication {
  readonly #slots: EndpointSlots;
  readonly #breakers: BreakerSlots;
  readonly #order = new RouteOrder();
  #snapshot: Snapshot | undefined;
  #version = 0;
  /** Upstreams with a health check. */
  readonly #checked = new Set<UpstreamKey>();
  #lastChecked: CheckedChange = { set: [], removed: [] };

  constructor(breakers: BreakerSlots, onSlotTaken?: OnSlotTaken) {
    this.#breakers = breakers;
    this.#slots = new EndpointSlots(onSlotTaken);
  }

  /** Nothing was published yet. */
  get isEmpty(): boolean {
    return this.#snapshot === undefined;
  }

  /** From the last snapshot, or from nothing, to this one. */
  next(snapshot: Snapshot): Change {
    const before = this.#snapshot;
    this.#snapshot = snapshot;
    const isSame = before?.upstreams === snapshot.upstreams;
    const upstreams = isSame ? [] : [...snapshot.upstreams.values()].filter((upstream) => !isDeepStrictEqual(before?.upstreams.get(upstream.key), upstream));
    const changed = new Set(upstreams.map(({ key }) => key));
    const removedUpstreams = isSame ? [] : removedKeys(before?.upstreams, snapshot.upstreams);
    const endpoints = before === undefined ? snapshot.endpoints : changedEndpoints(before, snapshot);
    this.#slots.assign(new Map(removedUpstreams.map((key) => [key, []])));
    this.#breakers.release(removedUpstreams);
    const slotted = this.#slots.assign(new Map([...endpoints, ...upstreams.map(({ key }) => [key, snapshot.endpoints.get(key) ?? []] as const)]));
    const routes = this.#order.change(snapshot.routes);
    const consumers = changedKeys(before?.consumers ?? NOBODY, snapshot.consumers ?? NOBODY);
    const end: ChangeEnd = {
      version: ++this.#version,
      removedRoutes: routes.removed,
      removedUpstreams,
      removedConsumers: consumers.filter((id) => snapshot.consumers?.has(id) !== true),
      removedSecrets: removedKeys(before?.secrets, snapshot.secrets),
      ...(before !== undefined && sameServerNames(before, snapshot) ? {} : { certificates: publishedCertificates(snapshot) }),
      ...(isDeepStrictEqual(before?.passthrough, snapshot.passthrough) ? {} : { passthrough: snapshot.passthrough ?? NO_PASSTHROUGH }),
    };
    const others = new Map([...slotted].filter(([key]) => !changed.has(key)));
    this.#lastChecked = this.#checkedChange(snapshot, slotted, removedUpstreams);
    return {
      type: 'change',
      parts: [
        ...identityParts(before?.secrets, snapshot, consumers),
        ...upstreamParts(upstreams, slotted, this.#breakers.assign(upstreams)),
        ...endpointParts(others),
        ...routeParts(routes.set),
      ],
      end,
    };
  }

  /** @param changes of upstreams of the last snapshot */
  nextEndpoints(changes: ReadonlyMap<UpstreamKey, readonly Endpoint[]>): EndpointsChange {
    const snapshot = this.#snapshot as Snapshot;
    this.#snapshot = { ...snapshot, endpoints: withEndpoints(snapshot.endpoints, changes) };
    const endpoints = this.#slots.assign(changes);
    this.#lastChecked = this.#checkedChange(snapshot, endpoints, []);
    return { type: 'endpoints', version: ++this.#version, endpoints };
  }

  /** What the last change is for whoever checks endpoints. */
  get checked(): CheckedChange {
    return this.#lastChecked;
  }

  /** All upstreams with a health check. */
  wholeChecked(): CheckedUpstream[] {
    const { upstreams, endpoints, certificates } = this.#snapshot as Snapshot;
    const slotted = this.#slots.assign(new Map([...this.#checked].map((key) => [key, endpoints.get(key) ?? []])));
    return [...slotted].map(([key, list]) => checkedUpstream(upstreams.get(key) as Upstream, list, certificates));
  }

  /** Where the health of an endpoint is; undefined when it is not published, or not checked. */
  checkedSlot(key: UpstreamKey, endpoint: Endpoint): number | undefined {
    return this.#checked.has(key) ? this.#slots.slotOf(key, endpoint) : undefined;
  }

  /** @param changed upstreams of which something differs, with all their endpoints */
  #checkedChange({ upstreams, certificates }: Snapshot, changed: PublishedEndpoints, gone: readonly UpstreamKey[]): CheckedChange {
    const set: CheckedUpstream[] = [];
    const removed = gone.filter((key) => this.#checked.delete(key));
    for (const [key, endpoints] of changed) {
      const upstream = upstreams.get(key);
      if (upstream?.healthCheck !== undefined) {
        set.push(checkedUpstream(upstream, endpoints, certificates));
        this.#checked.add(key);
      } else if (this.#checked.delete(key)) {
        removed.push(key);
      }
    }
    return { set, removed };
  }

  /** All that is in force, for a worker that has nothing yet. */
  whole(): Change {
    const snapshot = this.#snapshot as Snapshot;
    const upstreams = [...snapshot.upstreams.values()];
    const end: ChangeEnd = {
      ...{
        version: this.#version,
        removedRoutes: [],
        removedUpstreams: [],
        removedConsumers: [],
        removedSecrets: [],
        certificates: publishedCertificates(snapshot),
      },
      ...(snapshot.passthrough === undefined ? {} : { passthrough: snapshot.passthrough }),
    };
    const parts = [
      ...identityParts(undefined, snapshot, [...(snapshot.consumers?.keys() ?? [])]),
      ...upstreamParts(upstreams, this.#slots.assign(snapshot.endpoints), this.#breakers.assign(upstreams)),
      ...routeParts([...this.#order.routes]),
    ];
    return { type: 'change', parts, end };
  }
}

const NO_PASSTHROUGH: Passthrough = { routes: [], terminated: [] };

function checkedUpstream(upstream: Upstream, endpoints: CheckedUpstream['endpoints'], certificates: Snapshot['certificates']): CheckedUpstream {
  const certificate = upstream.tls?.clientCertificate && certificates.get(upstream.tls.clientCertificate.id);
  if (certificate === undefined) return { upstream, endpoints };
  return { upstream, endpoints, certificate: { id: certificate.id, chain: certificate.chain, key: certificate.key.reveal() } };
}

function sameServerNames(one: Snapshot, other: Snapshot): boolean {
  return (
    one.defaultCertificate === other.defaultCertificate &&
    sameCertificates(one.certificates, other.certificates) &&
    isDeepStrictEqual(one.serverNames, other.serverNames) &&
    isDeepStrictEqual(one.clientValidation, other.clientValidation)
  );
}

function publishedCertificates({ certificates, serverNames, defaultCertificate, clientValidation }: Snapshot): PublishedCertificates {
  return {
    certificates: [...certificates.values()].map(({ id, chain, key }) => ({ id, chain, key: key.reveal() })),
    serverNames,
    defaultCertificate,
    clientValidation,
  };
}

const NOBODY: ReadonlyMap<string, ConsumerSpec> = new Map();

const NONE = {
  upstreams: new Map<UpstreamKey, Upstream>(),
  endpoints: new Map(),
  breakerSlots: new Map<UpstreamKey, number>(),
  routes: [],
  consumers: [],
  secrets: new Map<string, string>(),
} satisfies ChangePart;

/**
 * Consumers and Secrets' values that are new or changed. Before the routes: these look things up there.
 * @param ids of consumers that are new, changed or gone
 */
function identityParts(before: Snapshot['secrets'], { consumers, secrets }: Snapshot, ids: readonly string[]): Buffer[] {
  const parts: Buffer[] = [];
  const changed = [...(secrets ?? [])].filter(([id, secret]) => before?.get(id)?.equals(secret) !== true);
  if (changed.length > 0) parts.push(write({ ...NONE, secrets: new Map(changed.map(([id, secret]) => [id, secret.reveal()])) }));
  const list: PublishedConsumer[] = [];
  for (const id of ids) {
    const spec = consumers?.get(id);
    if (spec !== undefined) list.push(publishedConsumer(id, spec));
  }
  for (const some of chunks(list, CONSUMERS_A_PART)) parts.push(write({ ...NONE, consumers: some }));
  return parts;
}

function publishedConsumer(id: string, { keyDigests, ...spec }: ConsumerSpec): PublishedConsumer {
  return { id, ...spec, keyDigests: Buffer.from(keyDigests.reveal(), 'hex').toString('latin1') };
}

function removedKeys(before: ReadonlyMap<string, unknown> | undefined, now: ReadonlyMap<string, unknown> | undefined): string[] {
  return before === undefined || before === now ? [] : [...before.keys()].filter((key) => now?.has(key) !== true);
}

function upstreamParts(upstreams: readonly Upstream[], endpoints: PublishedEndpoints, breakerSlots: ReadonlyMap<UpstreamKey, number>): Buffer[] {
  return chunks(upstreams, UPSTREAMS_A_PART).map((some) =>
    write({
      ...NONE,
      upstreams: new Map(some.map((upstream) => [upstream.key, upstream])),
      endpoints: new Map(some.map(({ key }) => [key, endpoints.get(key) ?? []])),
      breakerSlots: new Map(some.flatMap(({ key }) => (breakerSlots.has(key) ? [[key, breakerSlots.get(key) as number] as const] : []))),
    }),
  );
}

function endpointParts(endpoints: PublishedEndpoints): Buffer[] {
  return chunks([...endpoints], UPSTREAMS_A_PART).map((some) => write({ ...NONE, endpoints: new Map(some) }));
}

function routeParts(routes: readonly Route[]): Buffer[] {
  return chunks(routes, ROUTES_A_PART).map((some) => write({ ...NONE, routes: some }));
}

/** Once for all workers. */
function write(part: ChangePart): Buffer {
  return serialize(part);
}

function chunks<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) => items.slice(index * size, (index + 1) * size));
}
