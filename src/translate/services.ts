/** What a reference to a Service port comes to. */
import { isDeepStrictEqual } from 'node:util';
import type { Entry, Problem, ResourceSet } from '../resources/resource-set.ts';
import type { Service } from '../resources/service.ts';
import { UPSTREAM } from '../snapshot/defaults.ts';
import type { SessionAffinity, Upstream, UpstreamKey, UpstreamProtocol } from '../snapshot/upstream.ts';
import { isApiServer, isApiServerName, isForbiddenName } from './addresses.ts';
import type { BackendPolicies } from './backend-policies.ts';
import { PLAIN_TLS } from './backend-tls.ts';
import type { AnnotatedBackends } from './ingress-backend-protocol.ts';
import type { Issues } from './issues.ts';
import { ReferenceGrants } from './reference-grants.ts';

export type ServicePort = Service['spec']['ports'][number];

export interface ServiceReference {
  readonly namespace: string;
  readonly name: string;
  readonly port: number | string;
}

/** Equal for equal references. */
export type ReferenceKey = string;

export function referenceKey({ namespace, name, port }: ServiceReference): ReferenceKey {
  // A port's number and its name can't be mixed up: names have a letter.
  return `${namespace}/${name}/${port}`;
}

/** Paths of the parts of a reference, for messages. */
export interface ReferenceFields {
  readonly namespace: string;
  readonly name: string;
  readonly port: string;
}

/** A problem whose field is still to be named. */
type Unresolved = Omit<Problem, 'field'> & { readonly part: keyof ReferenceFields };

/** @param flaw what is wrong with it, though requests go there */
type Resolution = { readonly upstream: UpstreamKey; readonly flaw?: Unresolved } | { readonly unresolved: Unresolved };

/** What became of the name of an ExternalName Service, as whoever resolves it knows. */
export interface NameTrouble {
  /** Of a name without an address, and of one that leads where no backend may be. */
  readonly reason: 'BackendNotFound' | 'RefNotPermitted';
  /** What the Service has. */
  readonly message: string;
  readonly hint: string;
}

export type NameTroubles = ReadonlyMap<UpstreamKey, NameTrouble>;

export interface ServiceOptions {
  readonly allowExternalName: boolean;
  readonly allowLoopbackEndpoints: boolean;
  /** Of URLs that manifests name; absent: as `allowLoopbackEndpoints`. */
  readonly allowLoopbackFetch?: boolean;
}

/** What values of `appProtocol` mean (KEP-3726, and the names that service meshes have made common); others mean HTTP/1.1. */
const PROTOCOLS: ReadonlyMap<string | undefined, UpstreamProtocol> = new Map([
  ['kubernetes.io/h2c', 'H2C'],
  ['h2c', 'H2C'],
  ['http2', 'HTTP2'],
  ['grpc', 'HTTP2'],
  ['grpcs', 'HTTP2'],
]);

/** Values of `appProtocol` that mean TLS. */
const SECURE: ReadonlySet<string | undefined> = new Set(['https', 'grpcs', 'kubernetes.io/wss']);

/** Resolves references to upstreams, and collects the upstreams that are in use. */
export class Upstreams {
  readonly used = new Map<UpstreamKey, Upstream>();
  readonly #set: Pick<ResourceSet, 'services' | 'apiServer'>;
  readonly #options: ServiceOptions;
  readonly #policies: BackendPolicies;
  readonly #annotated: AnnotatedBackends;
  readonly #issues: Issues;
  readonly #grants: ReferenceGrants;
  readonly #previous: ReadonlyMap<UpstreamKey, Upstream>;
  readonly #nameTroubles: NameTroubles;
  readonly #resolved = new Map<string, Resolution>();

  /** @param previous upstreams of the last translation: those that are still the same are taken from there */
  constructor(
    set: ResourceSet,
    options: ServiceOptions,
    policies: BackendPolicies,
    annotated: AnnotatedBackends,
    issues: Issues,
    previous: ReadonlyMap<UpstreamKey, Upstream>,
    nameTroubles: NameTroubles,
  ) {
    // It outlives the set, which holds every object that there was.
    this.#set = { services: set.services, apiServer: set.apiServer };
    this.#options = options;
    this.#policies = policies;
    this.#annotated = annotated;
    this.#issues = issues;
    this.#nameTroubles = nameTroubles;
    this.#grants = new ReferenceGrants(set.referenceGrants);
    this.#previous = previous;
  }

  /**
   * @param owner whose reference it is; it is told of what is wrong
   * @returns undefined when the reference leads nowhere
   */
  resolve(owner: Entry<unknown>, reference: ServiceReference, fields: ReferenceFields): UpstreamKey | undefined {
    const { namespace, name } = reference;
    if (namespace !== owner.namespace && !this.#grants.allow(owner, { group: '', kind: 'Service', namespace, name })) {
      this.#issues.add(owner, 'ResolvedRefs', {
        severity: 'error',
        reason: 'RefNotPermitted',
        field: fields.namespace,
        message: `Service ${namespace}/${name} is in another namespace, and no ReferenceGrant allows the reference`,
        hint: `make a ReferenceGrant in namespace ${namespace}, from kind ${owner.kind} of namespace ${owner.namespace} to kind Service, or use a Service of namespace ${owner.namespace}`,
      });
      return undefined;
    }
    const resolution = this.#resolution(reference, referenceKey(reference));
    const wrong = 'unresolved' in resolution ? resolution.unresolved : resolution.flaw;
    if (wrong !== undefined) {
      const { part, ...problem } = wrong;
      this.#issues.add(owner, 'ResolvedRefs', { ...problem, field: fields[part] });
    }
    return 'upstream' in resolution ? resolution.upstream : undefined;
  }

  /** As `resolve` for a Service of the owner's own namespace; undefined, and nobody is told, where anything is wrong. @param key of the reference */
  find(reference: ServiceReference, key: ReferenceKey): UpstreamKey | undefined {
    const resolution = this.#resolution(reference, key);
    return 'upstream' in resolution && resolution.flaw === undefined ? resolution.upstream : undefined;
  }

  /**
   * The upstream of a URL that is no Service: its host, at its port, by HTTP/1.1, or by HTTP/2 for gRPC. Over https it must have a
   * certificate of a well-known authority.
   * @param url http or https
   * @returns undefined, and the owner is told, where the gateway's own machine or network is meant
   */
  useUrl(owner: Entry<unknown>, { protocol: scheme, hostname, port }: URL, grpc: boolean, field: string): UpstreamKey | undefined {
    const isSecure = scheme === 'https:';
    const host = hostname.replace(/^\[(.*)\]$/, '$1');
    const number = port === '' ? (isSecure ? 443 : 80) : Number(port);
    const { allowLoopbackEndpoints, allowLoopbackFetch = allowLoopbackEndpoints } = this.#options;
    if (isForbiddenName(host, allowLoopbackFetch) || isApiServer(this.#set.apiServer, host, number)) {
      const message = `${hostname} leads to where the gateway calls nobody`;
      this.#issues.add(owner, 'ResolvedRefs', { severity: 'error', reason: 'RefNotPermitted', field, message, hint: 'name a host elsewhere' });
      return undefined;
    }
    // No key of a Service has a colon.
    const key = `${grpc ? 'grpc+' : ''}${scheme}//${hostname}:${number}`;
    if (this.used.has(key)) return key;
    const protocol: UpstreamProtocol = grpc ? (isSecure ? 'HTTP2' : 'H2C') : 'HTTP1';
    const tls = isSecure ? { tls: { hostname: host, ...PLAIN_TLS } } : {};
    const upstream = { key, namespace: '', service: `${hostname}:${number}`, port: number, ...UPSTREAM, protocol, urlHost: host, ...tls };
    const before = this.#previous.get(key);
    this.used.set(key, before !== undefined && isDeepStrictEqual(before, upstream) ? before : upstream);
    return key;
  }

  /** What an affinity comes to at a Service. */
  affinityTo(namespace: string, service: string, affinity: SessionAffinity): SessionAffinity {
    const uid = this.#set.services.get(`${namespace}/${service}`)?.object?.metadata.uid;
    return uid === undefined ? affinity : { ...affinity, serviceUid: uid };
  }

  #resolution(reference: ServiceReference, key: ReferenceKey): Resolution {
    let resolution = this.#resolved.get(key);
    if (resolution === undefined) {
      resolution = this.#find(reference);
      this.#resolved.set(key, resolution);
    }
    return resolution;
  }

  #find({ namespace, name, port }: ServiceReference): Resolution {
    const what = `Service ${namespace}/${name}`;
    const entry = this.#set.services.get(`${namespace}/${name}`);
    if (entry === undefined) {
      return notFound('name', 'warning', `${what} does not exist`, 'create it, or name a Service of the same namespace');
    }
    const service = entry.object;
    if (service === undefined) {
      return notFound('name', 'warning', `${what} is not valid, and no earlier version of it is known`, 'mend the Service');
    }
    if (service.spec.type === 'ExternalName') {
      const refusal = externalNameRefusal(service, this.#options, this.#set.apiServer);
      if (refusal !== undefined)
        return { unresolved: { severity: 'warning', reason: 'RefNotPermitted', part: 'name', message: `${what} ${refusal[0]}`, hint: refusal[1] } };
      // Such a Service needs no ports: nothing listens on it.
      if (service.spec.ports.length === 0 && typeof port === 'number') return this.#use(service, { port, name: '' });
    }
    const candidates = service.spec.ports.filter((one) => (typeof port === 'number' ? one.port === port : one.name === port));
    const found = candidates.find((one) => one.protocol === 'TCP');
    if (found !== undefined) return this.#use(service, found);
    const asked = typeof port === 'number' ? `port ${port}` : `port named ${JSON.stringify(port)}`;
    const other = candidates[0];
    if (other !== undefined) {
      const message = `${asked} of ${what} is for ${other.protocol}`;
      return { unresolved: { severity: 'error', reason: 'UnsupportedValue', part: 'port', message, hint: `use a TCP port; ${describePorts(service)}` } };
    }
    return notFound('port', 'error', `${what} has no ${asked}`, describePorts(service));
  }

  #use({ metadata, spec }: Service, servicePort: Pick<ServicePort, 'port' | 'name' | 'appProtocol'>): Resolution {
    const { namespace, name: service } = metadata;
    const { port, name: portName, appProtocol } = servicePort;
    const key = `${namespace}/${service}/${port}`;
    if (!this.used.has(key)) {
      const settings = this.#policies.settings(namespace, service, portName);
      const { sessionAffinity } = settings;
      const chosen = this.#policies.protocol(namespace, service, portName);
      const annotated = this.#annotated.of(namespace, service, port, portName);
      const connectTimeout = this.#policies.connectTimeout(namespace, service, portName) ?? this.#annotated.connectTimeout(namespace, service, port, portName);
      const tls =
        this.#policies.tls(namespace, service, portName) ??
        annotated?.tls ??
        (annotated === undefined && SECURE.has(appProtocol) && chosen !== 'H2C' ? PLAIN_TLS : undefined);
      const protocol = chosen ?? annotated?.protocol ?? PROTOCOLS.get(appProtocol) ?? UPSTREAM.protocol;
      const upstream = {
        key,
        namespace,
        service,
        port,
        ...settings,
        ...(connectTimeout === undefined ? {} : { connectTimeout }),
        // A policy's tls is for what the port speaks, whatever its appProtocol says of the clear text.
        protocol: protocol === 'H2C' && tls !== undefined ? 'HTTP2' : protocol,
        ...(sessionAffinity === undefined ? {} : { sessionAffinity: this.affinityTo(namespace, service, sessionAffinity) }),
        ...(tls === undefined ? {} : { tls: { hostname: spec.externalName?.replace(/\.$/, '') ?? `${service}.${namespace}.svc`, ...tls } }),
      };
      const before = this.#previous.get(key);
      this.used.set(key, before !== undefined && isDeepStrictEqual(before, upstream) ? before : upstream);
    }
    const trouble = this.#nameTroubles.get(key);
    if (trouble === undefined) return { upstream: key };
    const { reason, message, hint } = trouble;
    return { upstream: key, flaw: { severity: 'warning', reason, part: 'name', message: `Service ${namespace}/${service} ${message}`, hint } };
  }
}

/** Why an ExternalName Service is not to be used, and what would be right; undefined when it may be. */
export function externalNameRefusal(
  service: Service,
  options: ServiceOptions,
  apiServer: readonly string[],
): readonly [message: string, hint: string] | undefined {
  if (!options.allowExternalName) return ['is of type ExternalName, which is refused', 'start with --allow-external-name, or write EndpointSlices'];
  if (isForbiddenName(service.spec.externalName ?? '', options.allowLoopbackEndpoints)) {
    return ["has an externalName that leads to the gateway's own machine or network", 'name a host elsewhere'];
  }
  if (isApiServerName(apiServer, service.spec.externalName ?? '')) return ['has an externalName that leads to the API server', 'name a host elsewhere'];
  return undefined;
}

/** As a sentence for hints. */
export function describePorts(service: Service): string {
  const ports = service.spec.ports.map(({ name, port, protocol }) => `${port}${name === '' ? '' : ` (${name})`}${protocol === 'TCP' ? '' : `/${protocol}`}`);
  return ports.length === 0 ? 'it has no ports of its own, so only a number will do' : `its ports are ${ports.join(', ')}`;
}

function notFound(part: keyof ReferenceFields, severity: Problem['severity'], message: string, hint: string): Resolution {
  return { unresolved: { severity, reason: 'BackendNotFound', part, message, hint } };
}
