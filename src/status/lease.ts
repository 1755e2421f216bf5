/** The Lease by which replicas agree on their leader (coordination.k8s.io/v1). */
import { ApiError } from '../sources/kubernetes/errors.ts';
import type { ApiCalls } from './api-calls.ts';

export const LEASE_NAME = 'tidegate-leader';

export interface LeaseSpec {
  /** Empty or absent: nobody's. */
  readonly holderIdentity?: string;
  readonly leaseDurationSeconds?: number;
  readonly acquireTime?: string;
  readonly renewTime?: string;
  readonly leaseTransitions?: number;
}

export interface Lease {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly resourceVersion?: string; readonly [field: string]: unknown };
  readonly spec?: LeaseSpec;
}

/** Where the Lease is kept. Every write names the version that it builds on, so that of two writers one is refused. */
export interface LeaseStore {
  /** Undefined where there is none. */
  read(timeout: number): Promise<Lease | undefined>;
  /** @throws (rejects) ApiError 409 when there is one already */
  create(spec: LeaseSpec, timeout: number): Promise<Lease>;
  /**
   * @param lease as it was read or written last
   * @throws (rejects) ApiError 409 when it is no longer that version
   */
  replace(lease: Lease, spec: LeaseSpec, timeout: number): Promise<Lease>;
}

export class ApiLeaseStore implements LeaseStore {
  readonly #api: ApiCalls;
  readonly #namespace: string;
  readonly #collection: string;

  constructor(api: ApiCalls, namespace: string) {
    this.#api = api;
    this.#namespace = namespace;
    this.#collection = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
  }

  async read(timeout: number): Promise<Lease | undefined> {
    try {
      return await this.#api.request<Lease>({ method: 'GET', path: `${this.#collection}/${LEASE_NAME}`, timeout });
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined;
      throw error;
    }
  }

  create(spec: LeaseSpec, timeout: number): Promise<Lease> {
    const body = { ...HEAD, metadata: { name: LEASE_NAME, namespace: this.#namespace }, spec };
    return this.#api.request<Lease>({ method: 'POST', path: this.#collection, body, timeout });
  }

  replace(lease: Lease, spec: LeaseSpec, timeout: number): Promise<Lease> {
    const { managedFields: _, ...metadata } = lease.metadata;
    return this.#api.request<Lease>({ method: 'PUT', path: `${this.#collection}/${LEASE_NAME}`, body: { ...HEAD, metadata, spec }, timeout });
  }
}

const HEAD = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' } as const;
