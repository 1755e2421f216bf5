/** BackendPolicies: how each Service port is spoken to. */
import type { BackendPolicy } from '../resources/backend-policy.ts';
import type { Entry, Problem, ResourceSet } from '../resources/resource-set.ts';
import { UPSTREAM } from '../snapshot/defaults.ts';
import type { LoadBalancer, Upstream, UpstreamProtocol } from '../snapshot/upstream.ts';
import { type BackendTlsSettings, backendTlsOf } from './backend-tls.ts';
import type { Certificates } from './certificates.ts';
import type { Issues } from './issues.ts';
import { oldestFirst } from './order.ts';
import { type Attachments, attachPolicies, type PolicyTarget, targetNotFound, targetTaken } from './policy-targets.ts';
import { describePorts } from './services.ts';
import type { Trust } from './trust.ts';

export type BackendSettings = Pick<
  Upstream,
  'loadBalancer' | 'connectTimeout' | 'idleTimeout' | 'maxRequestsPerConnection' | 'sessionAffinity' | 'healthCheck' | 'circuitBreaker' | 'proxyProtocol'
>;

export class BackendPolicies {
  readonly attachments: Attachments;
  /** By `namespace/service` and `namespace/service/port name`. */
  readonly #winners = new Map<string, Entry<BackendPolicy>>();
  readonly #settings = new Map<BackendPolicy, BackendSettings>();
  /** Of those that have it. */
  readonly #tls = new Map<Entry<BackendPolicy>, BackendTlsSettings>();

  constructor(set: ResourceSet, issues: Issues, trust: Trust, certificates: Certificates) {
    for (const entry of oldestFirst(set.backendPolicies)) {
      const tls = backendTlsOf(entry, trust, certificates);
      if (tls !== undefined) this.#tls.set(entry, tls);
    }
    this.attachments = attachPolicies(set.backendPolicies, issues, (entry, _policy, target, field) => this.#attach(set, entry, target, field));
  }

  /** A policy on the port replaces one on the whole Service. @param port the port's name, may be empty */
  settings(namespace: string, service: string, port: string): BackendSettings {
    const policy = this.#winner(namespace, service, port)?.object;
    if (policy === undefined) return UPSTREAM;
    let settings = this.#settings.get(policy);
    if (settings === undefined) {
      settings = settingsOf(policy);
      this.#settings.set(policy, settings);
    }
    return settings;
  }

  /** As `settings`; undefined: the policy says nothing of it. */
  protocol(namespace: string, service: string, port: string): UpstreamProtocol | undefined {
    return this.#winner(namespace, service, port)?.object?.spec.protocol;
  }

  /** As `settings`, in milliseconds; undefined: the policy says nothing of it. */
  connectTimeout(namespace: string, service: string, port: string): number | undefined {
    return this.#winner(namespace, service, port)?.object?.spec.connection.connectTimeout;
  }

  /** As `settings`; undefined: the policy says nothing of TLS. */
  tls(namespace: string, service: string, port: string): BackendTlsSettings | undefined {
    const winner = this.#winner(namespace, service, port);
    return winner && this.#tls.get(winner);
  }

  /** Whether the policy refers to objects besides its targets. */
  refers(entry: Entry<BackendPolicy>): boolean {
    return this.#tls.has(entry);
  }

  #winner(namespace: string, service: string, port: string): Entry<BackendPolicy> | undefined {
    const whole = `${namespace}/${service}`;
    return (port === '' ? undefined : this.#winners.get(`${whole}/${port}`)) ?? this.#winners.get(whole);
  }

  #attach(set: ResourceSet, entry: Entry<BackendPolicy>, target: PolicyTarget, field: string): Problem | undefined {
    const key = `${entry.namespace}/${target.name}`;
    const service = set.services.get(key);
    if (service === undefined) {
      return targetNotFound(`${field}.name`, `Service ${key} does not exist`, 'name a Service of the same namespace');
    }
    const { sectionName } = target;
    if (sectionName !== undefined && service.object !== undefined && !service.object.spec.ports.some((port) => port.name === sectionName)) {
      const ports = describePorts(service.object);
      return targetNotFound(
        `${field}.sectionName`,
        `Service ${key} has no port named ${JSON.stringify(sectionName)}`,
        `name one of its ports, or leave sectionName out; ${ports}`,
        'error',
      );
    }
    const place = sectionName === undefined ? key : `${key}/${sectionName}`;
    const older = this.#winners.get(place);
    if (older !== undefined) return targetTaken(field, older, 'port');
    this.#winners.set(place, entry);
    return undefined;
  }
}

function settingsOf({ spec }: BackendPolicy): BackendSettings {
  return {
    loadBalancer: loadBalancerOf(spec),
    connectTimeout: spec.connection.connectTimeout ?? UPSTREAM.connectTimeout,
    idleTimeout: spec.connection.idleTimeout,
    maxRequestsPerConnection: spec.connection.maxRequests,
    ...(spec.circuitBreaker === undefined ? {} : { circuitBreaker: spec.circuitBreaker }),
    ...(spec.sessionAffinity === undefined ? {} : { sessionAffinity: spec.sessionAffinity }),
    ...(spec.proxyProtocol === undefined ? {} : { proxyProtocol: spec.proxyProtocol }),
    ...(spec.healthCheck === undefined ? {} : { healthCheck: spec.healthCheck }),
  };
}

function loadBalancerOf({ loadBalancer: { zoneAware, ...rest } }: BackendPolicy['spec']): LoadBalancer {
  return { ...rest, ...(zoneAware === true ? { zoneAware } : {}) };
}
