/** A source before an API server that tests fill, and what it tells, one set after the other. */
import type { TestContext } from 'node:test';
import type { ResourceSet } from '../../resources/resource-set.ts';
import type { FakeApiServer, FakeObject } from './fake-api-server.fixture.ts';
import { KubernetesSource, type KubernetesSourceOptions } from './kubernetes-source.ts';

export const INGRESSES = '/apis/networking.k8s.io/v1/ingresses';
export const CLASSES = '/apis/networking.k8s.io/v1/ingressclasses';
export const ROUTES = '/apis/tidegate.dev/v1alpha1/apiroutes';
export const SLICES = '/apis/discovery.k8s.io/v1/endpointslices';
export const GRANTS = '/apis/gateway.networking.k8s.io/v1beta1/referencegrants';
export const SERVICES = '/api/v1/services';
export const SECRETS = '/api/v1/secrets';

export class Watched {
  readonly source: KubernetesSource;
  readonly sets: ResourceSet[] = [];
  readonly logged: { readonly message: string; readonly fields: Readonly<Record<string, unknown>> }[] = [];
  #waiting: (() => void)[] = [];

  constructor(t: TestContext, fake: FakeApiServer, options: Partial<KubernetesSourceOptions> = {}) {
    this.source = new KubernetesSource({
      client: fake.client(t),
      namespaces: [],
      ingressClass: 'tidegate',
      log: (_level, message, fields) => {
        this.logged.push({ message, fields });
        this.#wake();
      },
      timings: { grace: 100 },
      random: () => 0,
      ...options,
    });
    this.source.onChange((set) => this.#take(set));
    t.after(() => this.source.close());
  }

  async start(): Promise<ResourceSet> {
    const set = await this.source.start();
    this.#take(set);
    return set;
  }

  async until(test: (set: ResourceSet) => boolean): Promise<ResourceSet> {
    for (;;) {
      const set = this.sets.at(-1);
      if (set !== undefined && test(set)) return set;
      await this.#change();
    }
  }

  async untilLogged(message: string): Promise<Readonly<Record<string, unknown>>> {
    for (;;) {
      const found = this.logged.find((line) => line.message === message);
      if (found !== undefined) return found.fields;
      await this.#change();
    }
  }

  #take(set: ResourceSet): void {
    this.sets.push(set);
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  async #change(): Promise<void> {
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

export function ingress(name: string, spec: object = {}, namespace = 'shop'): FakeObject {
  const rules = [{ http: { paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name: 'web', port: { number: 80 } } } }] } }];
  return { metadata: { name, namespace, generation: 1 }, spec: { ingressClassName: 'tidegate', rules, ...spec } };
}

export function service(name: string, namespace = 'shop', spec: object = {}): FakeObject {
  return { metadata: { name, namespace }, spec: { ports: [{ port: 80 }], ...spec } };
}

export function slice(name: string, address: string, namespace = 'shop'): FakeObject {
  const metadata = { name, namespace, labels: { 'kubernetes.io/service-name': 'web' } };
  return { metadata, addressType: 'IPv4', endpoints: [{ addresses: [address] }], ports: [{ name: '', port: 8080 }] };
}

export const withTls = (secretName: string) => ingress('web', { tls: [{ secretName }] });
