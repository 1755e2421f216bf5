/** All that a gateway reports to its cluster: the leader's election, statuses, Events, addresses of Ingresses. */
import { ClassOwnership } from '../resources/classes.ts';
import { objectKey } from '../resources/entry.ts';
import { entryChanges } from '../resources/entry-changes.ts';
import type { Entry, ObjectKey, ResourceSet } from '../resources/resource-set.ts';
import type { ObjectStatus } from '../snapshot/status.ts';
import type { ApiCalls, StatusLog } from './api-calls.ts';
import { type Clock, systemClock } from './clock.ts';
import { type DesiredStatus, REPORTED_KINDS, type ReportedKind } from './desired-status.ts';
import { LeaderElector } from './leader-elector.ts';
import { ApiLeaseStore } from './lease.ts';
import { fieldManagerOf, ObservedObjects, type StatusKey, statusKey } from './observed-objects.ts';
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
  #latest: Latest | undefined;
  readonly #statuses = new Map<StatusKey, ObjectStatus>();
  /** Of the newest set: the very same object for as long as it says the same. */
  readonly #desired = new Map<StatusKey, DesiredStatus>();
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
      this.#service = new PublishedService({ api, ...publish.service, clock, log, onChange: () => this.#report(NO_CHANGES) });
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

  /** Takes in a translation. What it costs is what differs from the one before. */
  update(set: ResourceSet, { statuses }: Translated): void {
    const before = this.#latest;
    if (before?.statuses === statuses && sameObjects(before.set, set)) return;
    const latest = { set, statuses };
    const changes = this.#desire(before, latest);
    this.#latest = latest;
    this.#report(changes);
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

  #report(changes: ReadonlyMap<StatusKey, DesiredStatus | undefined>): void {
    if (this.#latest === undefined) return;
    const { publish } = this.#options;
    const addresses =
      this.#service === undefined ? (publish !== undefined && 'addresses' in publish ? publish.addresses : NO_ADDRESSES) : this.#service.addresses;
    this.#writer.update(this.#desired, changes, addresses);
  }

  /** Brings `#desired` up to date. @returns what was there before of each object that is another one now; undefined: nothing */
  #desire(before: Latest | undefined, { set, statuses }: Latest): Map<StatusKey, DesiredStatus | undefined> {
    const touched = new Map<StatusKey, Touched>();
    const touch = (kind: ReportedKind, key: ObjectKey, entry: Entry<unknown>): void => {
      touched.set(statusKey(kind.kind, entry.namespace, entry.name), { kind, key });
    };
    for (const [index, field] of FIELDS.entries()) {
      const kind = REPORTED_KINDS[index] as ReportedKind;
      for (const { key, before: old, after } of entryChanges<unknown>(before?.set[field] ?? NO_ENTRIES, set[field]))
        touch(kind, key, (after ?? old) as Entry<unknown>);
      // Whose an Ingress is that is invalid hangs on them.
      if (kind.kind === 'Ingress' && before?.set.ingressClasses !== set.ingressClasses) for (const [key, entry] of set[field]) touch(kind, key, entry);
    }
    for (const { status, isGone } of statusChanges(before?.statuses ?? [], statuses)) {
      const key = statusKey(status.kind, status.namespace, status.name);
      if (isGone) this.#statuses.delete(key);
      else this.#statuses.set(key, status);
      touched.set(key, { kind: REPORTED_KINDS.find(({ kind }) => kind === status.kind) as ReportedKind, key: objectKey(status) });
    }
    const classes = new ClassOwnership(set.ingressClasses, this.#options.ingressClass);
    const changes = new Map<StatusKey, DesiredStatus | undefined>();
    for (const [key, { kind, key: name }] of touched) {
      const old = this.#desired.get(key);
      const now = this.#desiredOf(key, kind, entryOf(set, kind, name), classes);
      if (now === old) continue;
      changes.set(key, old);
      if (now === undefined) this.#desired.delete(key);
      else this.#desired.set(key, now);
    }
    return changes;
  }

  /** @returns the very same as before where it says the same */
  #desiredOf(key: StatusKey, kind: ReportedKind, entry: Entry<unknown> | undefined, classes: ClassOwnership): DesiredStatus | undefined {
    if (entry === undefined) {
      this.#ours.delete(key);
      return undefined;
    }
    const { namespace, name, generation, problems } = entry;
    const isInvalid = problems.some(({ severity }) => severity === 'error');
    // Of an Ingress that is invalid, translation can't tell whose it is, or whose it has become.
    const observed = this.observed.get(key);
    const isOthers = kind.kind === 'Ingress' && isInvalid && observed !== undefined && !classes.ownsClass(observed.ingressClass);
    const status = isOthers ? undefined : this.#statuses.get(key);
    if (status !== undefined) this.#ours.add(key);
    const lost = status === undefined && this.#ours.has(key);
    const before = this.#desired.get(key);
    if (before !== undefined && before.generation === generation && before.status === status && before.lost === lost) return before;
    return { kind, namespace, name, generation, status, lost };
  }

  #count(kind: string, result: string): void {
    const key = `${kind} ${result}`;
    const written = this.#writes.get(key);
    if (written === undefined) this.#writes.set(key, { kind, result, count: 1 });
    else written.count++;
  }
}

interface Latest {
  readonly set: ResourceSet;
  readonly statuses: readonly ObjectStatus[];
}

interface Touched {
  readonly kind: ReportedKind;
  readonly key: ObjectKey;
}

const NO_ADDRESSES: readonly PublishedAddress[] = [];
const NO_CHANGES: ReadonlyMap<StatusKey, DesiredStatus | undefined> = new Map();
const NO_ENTRIES: ReadonlyMap<ObjectKey, Entry<unknown>> = new Map();

/** Of `REPORTED_KINDS`, in their order. */
const FIELDS = ['ingresses', 'apiRoutes', 'rateLimitPolicies', 'authPolicies', 'apiConsumers', 'backendPolicies'] as const;

function entryOf(set: ResourceSet, kind: ReportedKind, key: ObjectKey): Entry<unknown> | undefined {
  const field = FIELDS[REPORTED_KINDS.indexOf(kind)];
  return field === undefined ? undefined : set[field].get(key);
}

interface StatusChange {
  readonly status: ObjectStatus;
  readonly isGone: boolean;
}

/** What is in the one list alone, gone, and then what is in the other alone: an object that has another status is in both. */
function statusChanges(before: readonly ObjectStatus[], after: readonly ObjectStatus[]): StatusChange[] {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start++;
  let behind = 0;
  const least = Math.min(before.length, after.length) - start;
  while (behind < least && before[before.length - 1 - behind] === after[after.length - 1 - behind]) behind++;
  const old = new Set(before.slice(start, before.length - behind));
  const now = new Set(after.slice(start, after.length - behind));
  return [
    ...[...old].flatMap((status) => (now.has(status) ? [] : [{ status, isGone: true }])),
    ...[...now].flatMap((status) => (old.has(status) ? [] : [{ status, isGone: false }])),
  ];
}

/** Endpoints come and go, and statuses stay. */
function sameObjects(one: ResourceSet, other: ResourceSet): boolean {
  return one.ingressClasses === other.ingressClasses && FIELDS.every((field) => one[field] === other[field]);
}
