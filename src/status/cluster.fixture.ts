/** Replicas that translate and report, in front of one API server that shows them its objects as watches would. */
import type { TestContext } from 'node:test';
import { buildSet, type Manifest } from '../translate/testdata/build-set.ts';
import { type TranslateResult, translate } from '../translate/translate.ts';
import { FakeApiServer, type StoredObject } from './api-server.fixture.ts';
import { type Clock, systemClock } from './clock.ts';
import { REPORTED_KINDS } from './desired-status.ts';
import { type ReporterOptions, StatusReporter } from './status-reporter.ts';

/** By how much faster time passes, so that periods of seconds need not be waited for. */
const HASTE = 10;

const hasty: Clock = {
  now: () => systemClock.now() * HASTE,
  wall: () => systemClock.wall(),
  sleep: (milliseconds, signal) => systemClock.sleep(milliseconds / HASTE, signal),
};

export interface TestReplica {
  readonly name: string;
  readonly reporter: StatusReporter;
  readonly log: string[];
  readonly ingressClass: string;
  previous?: TranslateResult;
}

export class Cluster {
  readonly server: FakeApiServer;
  readonly replicas: TestReplica[] = [];
  readonly #manifests = new Map<string, Manifest>();
  /** A change from elsewhere comes between. */
  #generation = 0;

  private constructor(server: FakeApiServer) {
    this.server = server;
    server.onChange = (kind, object) => {
      for (const { reporter } of this.replicas) reporter.observed.seen(kind, structuredClone(object));
    };
  }

  static async start(t: TestContext): Promise<Cluster> {
    const server = await FakeApiServer.start();
    const cluster = new Cluster(server);
    t.after(async () => {
      server.fault = () => undefined;
      await Promise.all(cluster.replicas.map(({ reporter }) => reporter.retire()));
      await Promise.all(cluster.replicas.map(({ reporter }) => reporter.finish(0)));
      await server.close();
    });
    return cluster;
  }

  now(): number {
    return hasty.now();
  }

  /** A replica joins. @param installation where it is none of the one that all others are of */
  join(name: string, publish?: ReporterOptions['publish'], installation: { readonly namespace?: string; readonly ingressClass?: string } = {}): TestReplica {
    const { namespace = 'tidegate-system', ingressClass = 'tidegate' } = installation;
    const log: string[] = [];
    const reporter = new StatusReporter({
      api: this.server.client(),
      namespace,
      identity: name,
      ingressClass,
      publish,
      clock: hasty,
      log: (level, message, fields) => log.push(`${level} ${message} ${fields.object ?? ''} ${fields.reason ?? ''}`.trim()),
    });
    const replica: TestReplica = { name, reporter, log, ingressClass };
    this.replicas.push(replica);
    for (const { kind } of REPORTED_KINDS) for (const object of this.server.list(kind)) reporter.observed.seen(kind, structuredClone(object));
    this.#translate(replica);
    reporter.start();
    return replica;
  }

  /** As `kubectl apply`. */
  apply(...manifests: readonly Manifest[]): void {
    for (const manifest of manifests) {
      const { kind, metadata, spec } = manifest as {
        kind: string;
        metadata: { name: string; annotations?: Record<string, string> };
        spec?: Record<string, unknown>;
      };
      const generation = ++this.#generation;
      this.#manifests.set(`${kind}/${metadata.name}`, { ...manifest, metadata: { namespace: 'shop', ...metadata, generation } });
      const path = collectionOf(kind);
      if (path === undefined) continue;
      const before = this.server.get(`${path}/${metadata.name}`);
      const content = { ...(spec === undefined ? {} : { spec }), ...(metadata.annotations === undefined ? {} : { annotations: metadata.annotations }) };
      if (before === undefined) this.server.put(path, metadata.name, content);
      else this.server.update(`${path}/${metadata.name}`, content);
    }
    for (const replica of this.replicas) this.#translate(replica);
  }

  delete(kind: string, name: string): void {
    this.#manifests.delete(`${kind}/${name}`);
    const path = collectionOf(kind);
    if (path !== undefined) this.server.remove(`${path}/${name}`);
    for (const { reporter } of this.replicas) reporter.observed.gone(kind, 'shop', name);
    for (const replica of this.replicas) this.#translate(replica);
  }

  object(kind: string, name: string): StoredObject | undefined {
    return this.server.get(`${collectionOf(kind)}/${name}`);
  }

  /** `type=status reason` of each condition. */
  conditions(kind: string, name: string): string[] {
    const conditions = (this.object(kind, name)?.status?.conditions ?? []) as { type: string; status: string; reason: string }[];
    return conditions.map(({ type, status, reason }) => `${type}=${status} ${reason}`);
  }

  addresses(name: string): unknown {
    return (this.object('Ingress', name)?.status?.loadBalancer as { ingress?: unknown } | undefined)?.ingress;
  }

  /** `type reason object: note` of each Event. */
  events(): string[] {
    return this.server.list('Event').map((event) => {
      const { type, reason, note, regarding } = event as unknown as { type: string; reason: string; note: string; regarding: { kind: string; name: string } };
      return `${type} ${reason} ${regarding.kind}/${regarding.name}: ${note}`;
    });
  }

  /** Calls that write a status, as `Kind/name`. */
  statusWrites(): string[] {
    return this.server.calls.flatMap(({ method, path, body }) =>
      method === 'PATCH' && path.endsWith('/status') ? [`${body?.kind}/${(body?.metadata as { name?: string } | undefined)?.name}`] : [],
    );
  }

  async until(wanted: () => boolean, what: string): Promise<void> {
    for (const deadline = Date.now() + 60_000; !wanted(); ) {
      if (Date.now() > deadline) {
        throw new Error(
          `${what}: not so; ${this.replicas.map(({ name, log }) => `${name}: ${log.join('; ')}`).join('\n')}\n${this.server.calls
            .slice(-10)
            .map(({ method, path }) => `${method} ${path}`)
            .join('\n')}`,
        );
      }
      await systemClock.sleep(5);
    }
  }

  /** Whatever was to be written is written: nothing has come for a while (of the hasty clock: seconds). */
  async quiet(): Promise<void> {
    const writes = (): number => this.server.calls.filter(({ method, path }) => method !== 'GET' && !path.includes('/leases')).length;
    for (let before = -1; before !== writes(); ) {
      before = writes();
      await hasty.sleep(3000);
    }
  }

  #translate(replica: TestReplica): void {
    const set = buildSet([...this.#manifests.values()]);
    const options = { ingressClass: replica.ingressClass, allowExternalName: false, allowLoopbackEndpoints: true };
    replica.previous = translate(set, options, replica.previous);
    replica.reporter.update(set, replica.previous);
  }
}

/** Undefined for kinds that carry no status of ours. */
function collectionOf(kind: string): string | undefined {
  const reported = REPORTED_KINDS.find((one) => one.kind === kind);
  return reported === undefined ? undefined : `/apis/${reported.apiVersion}/namespaces/shop/${reported.plural}`;
}

export const service = (name: string): Manifest => ({ apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { ports: [{ port: 80 }] } });

export const route = (name: string, more: object = {}): Manifest => ({
  apiVersion: 'tidegate.dev/v1alpha1',
  kind: 'ApiRoute',
  metadata: { name },
  spec: { hostnames: [`${name}.example.com`], rules: [{ backendRefs: [{ name: 'web', port: 80 }] }], ...more },
});

export const ingress = (name: string, ingressClassName = 'tidegate', backend: object = { service: { name: 'web', port: { number: 80 } } }): Manifest => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'Ingress',
  metadata: { name },
  spec: { ingressClassName, rules: [{ host: `${name}.example.com`, http: { paths: [{ path: '/', pathType: 'Prefix', backend }] } }] },
});

/** Invalid by itself. */
export const BAD_BACKEND = { service: { name: 'No_Name', port: { number: 80 } } };
