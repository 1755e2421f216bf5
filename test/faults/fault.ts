/** A fault of a backend, a client or the machine: what is done to a gateway that serves a folder, and what it has to do then. */
import { percentile } from '../../test-e2e/percentile.ts';
import { GatewayUnderTest } from '../gateway/gateway.ts';
import type { Lifetime } from '../gateway/lifetime.ts';
import { apiRoute, service } from '../gateway/manifests.ts';
import type { Limits } from '../gateway/program.ts';
import { FaultyBackend } from './backend.ts';
import { type Findings, type Measure, residentMemory, sumOfSeries } from './findings.ts';
import { PROTOCOLS, Traffic, type TrafficOptions } from './traffic.ts';

/** Where a fault happens. */
export interface Place {
  readonly lifetime: Lifetime;
  readonly measure: Measure;
  /** Says what goes on. */
  readonly tell: (what: string) => void;
}

export interface DataPlaneFault {
  readonly number: number;
  readonly name: string;
  /** What passing means. */
  readonly passes: string;
  run(place: Place): Promise<Findings>;
}

export interface Serving {
  readonly gateway: GatewayUnderTest;
  readonly backends: readonly FaultyBackend[];
}

export interface ServeOptions {
  /** Fields of the one rule, as YAML flow. */
  readonly rule?: string;
  /** Fields of the Service's BackendPolicy, as YAML flow; absent: it has none. */
  readonly policy?: string;
  /** Manifests besides. */
  readonly more?: string;
  readonly args?: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
  readonly backends?: number;
  readonly limits?: Limits;
}

/** Manifests of a Service `web` and a route to it. */
export function manifestsOf(ports: readonly number[], { rule = '', policy, more = '' }: ServeOptions): string {
  const declared =
    policy === undefined
      ? ''
      : `---
apiVersion: tidegate.dev/v1alpha1
kind: BackendPolicy
metadata: { name: web, namespace: default }
spec: { targetRefs: [{ kind: Service, name: web }], ${policy} }
`;
  return service('web', ports) + declared + apiRoute('web', `  rules: [{ backendRefs: [{ name: web, port: 80 }]${rule === '' ? '' : `, ${rule}`} }]`) + more;
}

/** A gateway of two workers before some backends, and a route to them for everything. */
export async function serve({ lifetime }: Place, options: ServeOptions = {}): Promise<Serving> {
  const backends: FaultyBackend[] = [];
  for (let index = 0; index < (options.backends ?? 3); index++) backends.push(await FaultyBackend.start(lifetime));
  const files = {
    'all.yaml': manifestsOf(
      backends.map((backend) => backend.port),
      options,
    ),
  };
  const args = ['--workers', '2', ...(options.args?.includes('--access-log') === true ? [] : ['--access-log', 'off']), ...(options.args ?? [])];
  return { gateway: await GatewayUnderTest.start(lifetime, files, args, options.environment, options.limits), backends };
}

/** What clients of both protocols see, before and while something is done. */
export class Watched {
  readonly traffics: readonly Traffic[];
  readonly #place: Place;
  readonly #gateway: GatewayUnderTest;
  #quiet: readonly number[];
  /** MiB that the gateway had before anything was done to it. */
  #memory: number;

  /** @param before those that were watched on the same gateway first: what they saw while it was quiet holds for these, too */
  constructor(place: Place, gateway: GatewayUnderTest, options: Partial<Omit<TrafficOptions, 'protocol' | 'port'>> = {}, before?: Watched) {
    this.#quiet = before === undefined ? [] : before.#quiet;
    this.#memory = before === undefined ? 0 : before.#memory;
    this.#place = place;
    this.#gateway = gateway;
    this.traffics = PROTOCOLS.map((protocol) => Traffic.start(place.lifetime, { path: '/', ...options, protocol, port: gateway.http }));
  }

  /** Traffic without a fault, which what follows is compared with. */
  async quiet(): Promise<void> {
    await this.more(this.#place.measure.full ? 3000 : 50);
    this.latencies();
    await this.more(this.#place.measure.full ? 2000 : 50);
    this.#quiet = this.latencies();
    this.#memory = await residentMemory(this.#gateway);
  }

  /** Waits for so many more answers by each protocol, or as few as a short run has. */
  async more(full: number, short = full): Promise<void> {
    await Promise.all(this.traffics.map((traffic) => traffic.more(this.#place.measure.full ? full : short)));
  }

  latencies(): readonly number[] {
    return this.traffics.flatMap((traffic) => traffic.latencies());
  }

  /** Ends the traffic, and notes what is noted of every fault. @param failures each protocol may have; 0 by default */
  async judge(findings: Findings, allowed: (traffic: Traffic) => boolean = (traffic) => traffic.failed === 0): Promise<void> {
    const during = this.latencies();
    for (const traffic of this.traffics) {
      await traffic.stop();
      const what = `${traffic.failed} of ${traffic.total} requests by ${traffic.protocol} failed`;
      findings.check(allowed(traffic) && traffic.answered > 0, what, traffic.failures.join('; '));
    }
    const p99 = (values: readonly number[]): string => percentile(values, 99).toFixed(1);
    // Some faults have looked at the times themselves.
    if (this.#quiet.length > 0 && during.length > 0) findings.note(`p99 ${p99(this.#quiet)} ms before, ${p99(during)} ms meanwhile`);
    findings.checkAlive(this.#gateway);
    if (this.#place.measure.full) await findings.checkMemory(this.#gateway, this.#memory);
  }
}

/** Sum of all series of a metric, by `name` or `name{label="value"`. */
export async function sumOf(gateway: GatewayUnderTest, start: string): Promise<number> {
  return sumOfSeries(await (await fetch(`http://127.0.0.1:${gateway.admin}/metrics`)).text(), start);
}
