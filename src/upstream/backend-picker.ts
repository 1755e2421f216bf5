import type { Backend } from '../snapshot/route.ts';
import type { UpstreamKey } from '../snapshot/upstream.ts';
import { Affinity } from './affinity.ts';
import type { Balanced } from './balancers/balancer.ts';
import type { EndpointState } from './endpoint-state.ts';
import type { Availability, UpstreamState } from './upstream-state.ts';
import { WeightedSchedule } from './weighted-schedule.ts';

/** Where a picker finds its upstreams. `Upstreams` is one. */
export interface UpstreamLookup {
  readonly availability: Availability;
  get(key: UpstreamKey): UpstreamState | undefined;
}

/** One backendRef of a route, bound to the worker's upstream. */
export interface PickedBackend {
  /** Its place in the route's `backends`. */
  readonly index: number;
  readonly spec: Backend;
  /** Absent for a ref that can't be resolved: its share is answered with `spec.unresolvedStatus`. */
  readonly upstream: UpstreamState | undefined;
  /** Kept up by the picker: the upstream's may change. */
  affinity: Affinity | undefined;
}

/** A backend with the endpoint of it that is to be tried. */
export interface PickedEndpoint {
  readonly backend: PickedBackend;
  readonly endpoint: EndpointState;
}

/** A backend, or nobody, with its part of the picks. */
interface Share {
  readonly backend: PickedBackend | undefined;
  readonly weight: number;
}

/**
 * Spreads the requests of one route over its backendRefs, in one worker. A ref without a usable endpoint gives its share to
 * the others that have one; a ref that can't be resolved keeps its share, no more and no less, as Gateway API has it.
 * Backup refs take everything while no other ref has a usable endpoint.
 */
export class BackendPicker {
  readonly backends: readonly PickedBackend[];
  readonly #availability: Availability;
  readonly #random: () => number;
  /** Version of the availability that the fields below were made for. */
  #seen = Number.NaN;
  #shares: readonly Share[] = [];
  /** Absent when there is at most one share. */
  #schedule: WeightedSchedule | undefined = undefined;
  /** Backends that a cookie may name; undefined when there are none. */
  #affine: readonly PickedBackend[] | undefined = undefined;

  /** @param random where in the sequence of picks to begin */
  constructor(backends: readonly Backend[], upstreams: UpstreamLookup, random: () => number = Math.random) {
    this.backends = backends.map((spec, index) => ({
      index,
      spec,
      upstream: spec.upstream === undefined ? undefined : upstreams.get(spec.upstream),
      affinity: undefined,
    }));
    this.#availability = upstreams.availability;
    this.#random = random;
  }

  /** The backend of the next request; undefined (503) when it falls to refs of which none has a usable endpoint. */
  pick(): PickedBackend | undefined {
    if (this.#seen !== this.#availability.version) this.#refresh();
    return this.#shares[this.#schedule === undefined ? 0 : this.#schedule.next()]?.backend;
  }

  /**
   * The backend and the endpoint that the request's cookie names, before any `pick`: session affinity keeps both. A ref of
   * weight 0 keeps nobody, nor does a backup while others serve.
   */
  pickAffine(request: Balanced): PickedEndpoint | undefined {
    if (this.#seen !== this.#availability.version) this.#refresh();
    const affine = this.#affine;
    if (affine === undefined) return undefined;
    for (let index = 0; index < affine.length; index++) {
      const backend = affine[index] as PickedBackend;
      const endpoint = backend.affinity?.endpointOf(request);
      if (endpoint !== undefined) return { backend, endpoint };
    }
    return undefined;
  }

  /**
   * Where a request may go that could not reach its endpoint, when that one's upstream has no other: to another upstream's
   * endpoint at another address. Refs that are no backups go first, by weight among themselves. It takes no turn in the
   * sequence of picks, so that the shares of all other requests stay exact.
   */
  pickOther(request: Balanced, tried: PickedBackend, failed: EndpointState): PickedEndpoint | undefined {
    const others = this.backends.filter((backend) => backend.spec.weight > 0 && isUsable(backend) && backend.upstream !== tried.upstream);
    const primary = others.filter((backend) => !backend.spec.backup);
    const backup = others.filter((backend) => backend.spec.backup);
    return this.#pickUntried(request, primary, failed) ?? this.#pickUntried(request, backup, failed);
  }

  /** The backend that the most requests are for, whether or not it has an endpoint: what the log names where none has. */
  get heaviest(): PickedBackend | undefined {
    const resolved = this.backends.filter((backend) => backend.spec.weight > 0 && backend.upstream !== undefined);
    const primary = resolved.filter((backend) => !backend.spec.backup);
    return (primary.length > 0 ? primary : resolved).reduce<PickedBackend | undefined>(
      (heaviest, backend) => (heaviest === undefined || backend.spec.weight > heaviest.spec.weight ? backend : heaviest),
      undefined,
    );
  }

  #pickUntried(request: Balanced, candidates: PickedBackend[], failed: EndpointState): PickedEndpoint | undefined {
    while (candidates.length > 0) {
      let point = this.#random() * sumOfWeights(candidates);
      const index = candidates.findIndex((backend) => {
        point -= backend.spec.weight;
        return point < 0;
      });
      const [backend] = candidates.splice(Math.max(index, 0), 1) as [PickedBackend];
      const endpoint = untried(backend.upstream as UpstreamState, request, failed);
      if (endpoint !== undefined) return { backend, endpoint };
    }
    return undefined;
  }

  #refreshAffinity(shares: readonly Share[]): void {
    for (const backend of this.backends) {
      const { upstream, spec } = backend;
      const settings = spec.sessionAffinity ?? upstream?.upstream.sessionAffinity;
      if (backend.affinity?.settings !== settings)
        backend.affinity = settings === undefined || upstream === undefined ? undefined : new Affinity(settings, upstream);
    }
    const affine = this.backends.filter((backend) => mayKeep(backend, shares));
    this.#affine = affine.length === 0 ? undefined : affine;
  }

  #refresh(): void {
    this.#seen = this.#availability.version;
    const shares = divide(this.backends);
    this.#refreshAffinity(shares);
    // The sequence goes on where it was unless the change concerns this route.
    if (sameShares(this.#shares, shares)) return;
    this.#shares = shares;
    this.#schedule =
      shares.length < 2
        ? undefined
        : new WeightedSchedule(
            shares.map((share) => share.weight),
            this.#random,
          );
  }
}

/** A Persistent affinity keeps to an endpoint that exists even while its upstream has none to pick. */
function mayKeep(backend: PickedBackend, shares: readonly Share[]): boolean {
  if (backend.affinity === undefined || backend.spec.weight === 0) return false;
  if (backend.affinity.settings.mode === 'Persistent' && !backend.spec.backup) return true;
  return shares.some((share) => share.backend === backend);
}

function divide(all: readonly PickedBackend[]): Share[] {
  const weighted = all.filter((backend) => backend.spec.weight > 0);
  const primary = weighted.filter((backend) => !backend.spec.backup);
  const backup = weighted.filter((backend) => backend.spec.backup);
  const group = !primary.some(isUsable) && (primary.length === 0 || backup.some(isUsable)) ? backup : primary;
  const unresolved = group.filter((backend) => backend.spec.upstream === undefined);
  const usable = group.filter(isUsable);
  const weightOfAll = sumOfWeights(group);
  const weightOfUnresolved = sumOfWeights(unresolved);
  const weightOfUsable = sumOfWeights(usable);
  const rest = weightOfAll - weightOfUnresolved;
  if (weightOfUnresolved === 0) return usable.map((backend) => ({ backend, weight: backend.spec.weight }));
  if (weightOfUsable === 0) {
    const shares: Share[] = unresolved.map((backend) => ({ backend, weight: backend.spec.weight }));
    if (rest > 0) shares.push({ backend: undefined, weight: rest });
    return shares;
  }
  // The usable ones divide what the unresolved ones leave; all in whole numbers.
  const common = greatestCommonDivisor(weightOfUsable, rest);
  return [
    ...unresolved.map((backend) => ({ backend, weight: (backend.spec.weight * weightOfUsable) / common })),
    ...usable.map((backend) => ({ backend, weight: (backend.spec.weight * rest) / common })),
  ];
}

function isUsable(backend: PickedBackend): boolean {
  return backend.upstream?.available === true;
}

/** Services may share an address: what has just refused would refuse again. */
function untried(upstream: UpstreamState, request: Balanced, failed: EndpointState): EndpointState | undefined {
  const endpoint = upstream.pick(request, failed);
  if (endpoint === undefined || endpoint.name !== failed.name) return endpoint;
  const second = upstream.pick(request, endpoint);
  return second?.name === failed.name ? undefined : second;
}

function sumOfWeights(backends: readonly PickedBackend[]): number {
  return backends.reduce((sum, backend) => sum + backend.spec.weight, 0);
}

function greatestCommonDivisor(one: number, other: number): number {
  return other === 0 ? one : greatestCommonDivisor(other, one % other);
}

function sameShares(one: readonly Share[], other: readonly Share[]): boolean {
  return one.length === other.length && one.every((share, index) => share.backend === other[index]?.backend && share.weight === other[index]?.weight);
}
