/** All that a gateway reports to its cluster: the leader's election, statuses, Events, addresses of Ingresses. */
import { ClassOwnership } from '../resources/classes.ts';
import type { Entry, ResourceSet } from '../resources/resource-set.ts';
import type { ObjectStatus } from '../snapshot/status.ts';
import type { ApiCalls, StatusLog } from './api-calls.ts';
import { type Clock, systemClock } from './clock.ts';
import { type DesiredStatus, REPORTED_KINDS } from './desired-status.ts';
import { LeaderElector } from './leader-elector.ts';
import { ApiLeaseStore } from './lease.ts';
import { fieldManagerOf, ObservedObjects, type StatusKey, StatusKeys } from './observed-objects.ts';
import type { PublishedAddress } from './published-address.ts';
import { PublishedService } from './published-service.ts';
import { StatusWriter } from './status-writer.ts';

/** Whoever comes after us, and stands for leader already, has taken the Lease by then. Milliseconds. */
const SUCCESSION = 5000;

export interface ReporterOptions {
  readonly api: ApiCalls;
  /** Where the Lease is. */
  readonly namespace: string;
  /** Of this process: no other one ever has it. */
  readonly identity: string;
  /** `--ingress-class`. */
  readonly ingressClass: string;
  /** `--publish-service` or `--publish-address`; neither: Ingresses get no address. */
  readonly publish:
    | { readonly service: { readonly namespace: string; readonly name: string } }
    | { readonly addresses: readonly PublishedAddress[] }
    | undefined;
  readonly log: StatusLog;
  readonly clock?: Clock;
  /** From 0 to 1. */
  readonly random?: () => number;
}

/** What is reported of, as a translation leaves it. */
export interface Translated {
  readonly statuses: readonly ObjectStatus[];
}

export class StatusReporter {
  /** Wants to be told of every object that the watches show. */
  readonly observed: ObservedObjects;
  readonly #options: ReporterOptions;
  readonly #clock: Clock;
  readonly #elector: LeaderElector;
  readonly #writer: StatusWriter;
  readonly #service: PublishedService | undefined;
  readonly #writes = new Map<string, { readonly kind: string; readonly result: string; count: number }>();
  #latest: { readonly set: ResourceSet; readonly statuses: readonly ObjectStatus[] } | undefined;
  /** Of the newest set: the very same object for as long as it says the same. */
  #desired: ReadonlyMap<StatusKey, DesiredStatus> = new Map();
  readonly #keys = new StatusKeys();
  /** Objects that were ours at some time since the start. */
  readonly #ours = new Set<StatusKey>();
  #retired = 0;

  constructor(options: ReporterOptions) {
    const { api, namespace, identity, publish, log, clock = systemClock, random = Math.random } = options;
    this.#options = options;
    this.observed = new ObservedObjects(
      REPORTED_KINDS.map(({ kind }) => kind),
      fieldManagerOf(namespace),
    );
    this.#clock = clock;
    this.#elector = new LeaderElector({
      store: new ApiLeaseStore(api, namespace),
      identity,
      clock,
      random,
      log,
      onChange: () => this.#writer.leadershipChanged(),
    });
    const count = (kind: string, result: string): void => this.#count(kind, result);
    this.#writer = new StatusWriter({ api, leadership: this.#elector, observed: this.observed, clock, random, identity, log, count });
    if (publish !== undefined && 'service' in publish) {
      this.#service = new PublishedService({ api, ...publish.service, clock, log, onChange: () => this.#report() });
    }
  }

  /** Whether this replica leads. */
  get leading(): boolean {
    return this.#elector.leading;
  }

  /** Writes by kind (or `Event`) and result, since the start. */
  get writes(): Iterable<{ readonly kind: string; readonly result: string; readonly count: number }> {
    return this.#writes.values();
  }

  start(): void {
    this.#service?.start();
    this.#writer.start();
    this.#elector.start();
  }

  /** Takes in a translation. */
  update(set: ResourceSet, { statuses }: Translated): void {
    if (this.#latest?.statuses === statuses && sameObjects(this.#latest.set, set)) return;
    this.#latest = { set, statuses };
    this.#report();
  }

  /** Writes no more, and lets another replica lead. */
  async retire(): Promise<void> {
    await this.#writer.stop();
    await this.#elector.retire();
    this.#retired = this.#clock.now();
  }

  /**
   * After `retire`, and when nothing else is left to do: where no other replica has come to lead, this was the last one, and
   * its addresses go from the Ingresses.
   * @param until time on the monotonic clock (ms)
   */
  async finish(until: number): Promise<void> {
    const { log } = this.#options;
    await this.#service?.stop();
    if (!this.#writer.hasPublished || !(await this.#elector.nobodyFollows(Math.min(until, this.#retired + SUCCESSION)))) return;
    this.#elector.start();
    while (!this.#elector.leading && this.#clock.now() < until) await this.#clock.sleep(20);
    if (this.#elector.leading) {
      const left = await this.#writer.clearAddresses(until);
      log(left === 0 ? 'info' : 'warn', 'the last replica took its addresses from the Ingresses', { left });
    }
    await this.#elector.retire();
  }

  #report(): void {
    if (this.#latest === undefined) return;
    const { publish } = this.#options;
    const addresses =
      this.#service === undefined ? (publish !== undefined && 'addresses' in publish ? publish.addresses : NO_ADDRESSES) : this.#service.addresses;
    this.#desired = this.#desire(this.#latest.set, this.#latest.statuses);
    this.#writer.update(this.#desired, addresses);
  }

  /** Of every object of the kinds that we report on. */
  #desire(set: ResourceSet, statuses: readonly ObjectStatus[]): Map<StatusKey, DesiredStatus> {
    const byKey = new Map<StatusKey, ObjectStatus>();
    for (const status of statuses) byKey.set(this.#keys.of(status), status);
    const classes = new ClassOwnership(set.ingressClasses, this.#options.ingressClass);
    const desired = new Map<StatusKey, DesiredStatus>();
    for (const kind of REPORTED_KINDS) {
      for (const entry of entriesOf(set, kind.kind)) {
        const { namespace, name, generation, problems } = entry;
        const key = this.#keys.of(entry);
        const isInvalid = problems.some(({ severity }) => severity === 'error');
        // Of an Ingress that is invalid, translation can't tell whose it is, or whose it has become.
        const isOthers =
          kind.kind === 'Ingress' && isInvalid && this.observed.get(key) !== undefined && !classes.ownsClass(this.observed.get(key)?.ingressClass);
        const status = isOthers ? undefined : byKey.get(key);
        if (status !== undefined) this.#ours.add(key);
        const lost = status === undefined && this.#ours.has(key);
        const before = this.#desired.get(key);
        const same = before !== undefined && before.generation === generation && before.status === status && before.lost === lost;
        desired.set(key, same ? before : { kind, namespace, name, generation, status, lost });
      }
    }
    for (const key of this.#ours) if (!desired.has(key)) this.#ours.delete(key);
    return desired;
  }

  #count(kind: string, result: string): void {
    const key = `${kind} ${result}`;
    const written = this.#writes.get(key);
    if (written === undefined) this.#writes.set(key, { kind, result, count: 1 });
    else written.count++;
  }
}

const NO_ADDRESSES: readonly PublishedAddress[] = [];

const FIELDS = ['ingresses', 'apiRoutes', 'rateLimitPolicies', 'authPolicies', 'apiConsumers', 'backendPolicies'] as const;

function entriesOf(set: ResourceSet, kind: string): Iterable<Entry<unknown>> {
  const field = FIELDS[REPORTED_KINDS.findIndex((one) => one.kind === kind)];
  return field === undefined ? [] : set[field].values();
}

/** Endpoints come and go, and statuses stay. */
function sameObjects(one: ResourceSet, other: ResourceSet): boolean {
  return one.ingressClasses === other.ingressClasses && FIELDS.every((field) => one[field] === other[field]);
}
