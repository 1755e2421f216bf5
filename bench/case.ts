/** What a case of the bench is, who runs in it, and what one run comes to. */
import type { Load, LoadResult } from './load.ts';
import type { Running, Setting } from './subjects.ts';

/** What one run of one subject came to. */
export interface Sample {
  /** Requests a second. */
  readonly rate?: number;
  /** Requests for each second that the proxy's CPU was busy. */
  readonly busyRate?: number;
  /** CPU time of the proxy for one request, in microseconds. */
  readonly cpu?: number;
  /** Resident memory after the run in MiB. */
  readonly resident?: number;
  /** Resident memory before it in MiB. */
  readonly residentBefore?: number;
  /** KiB that an idle connection takes beyond one of HTTP/1.1 over TLS. */
  readonly idle?: number;
  /** Milliseconds. */
  readonly p50?: number;
  readonly p99?: number;
  readonly p999?: number;
}

export type Metric = keyof Sample;

export interface Subject {
  readonly label: string;
  readonly setting: Setting;
}

export interface Goal {
  readonly subject: string;
  readonly metric: Metric;
  /** The subject whose value of the same round divides this one's; absent: the value itself counts. */
  readonly against?: string;
  readonly atLeast?: number;
  readonly atMost?: number;
}

export interface Case {
  readonly name: string;
  readonly title: string;
  /** What a reader should know about this case. */
  readonly note?: string;
  readonly subjects: readonly Subject[];
  /** The subject that the ratios in the table refer to. */
  readonly baseline: string;
  readonly columns: readonly Metric[];
  /** Where the case can't be repeated in rounds: 1. */
  readonly rounds?: number;
  readonly goals: readonly Goal[];
  /** Before the rounds, with everything running; what it gives goes to each `measure`. */
  prepare?(subjects: ReadonlyMap<string, Running>, seconds: number): Promise<number>;
  readonly warmUp?: Load;
  measure(subject: Running, seconds: number, prepared: number): Promise<Sample>;
}

export const nginx: Subject = { label: 'nginx', setting: { kind: 'nginx' } };
export const haproxy: Subject = { label: 'HAProxy', setting: { kind: 'haproxy' } };
export const handle: Subject = { label: 'Tidegate, handle', setting: { kind: 'handle' } };
export const stream: Subject = { label: 'Tidegate, stream', setting: { kind: 'stream' } };
export const envoy: Subject = { label: 'Envoy', setting: { kind: 'envoy' } };
export const traefik: Subject = { label: 'Traefik', setting: { kind: 'traefik' } };
export const caddy: Subject = { label: 'Caddy', setting: { kind: 'caddy' } };
export const everybody = [nginx, haproxy, envoy, traefik, caddy, handle, stream];
/** Those that a case is about where the others say nothing new. */
export const nearest = [nginx, haproxy, handle, stream];

export function named(label: string, setting: Setting): Subject {
  return { label, setting };
}

export async function throughput(subject: Running, run: () => Promise<LoadResult>): Promise<Sample> {
  const before = subject.process.cpuSeconds();
  const result = await run();
  const cpu = subject.process.cpuSeconds() - before;
  return {
    rate: result.requests / result.seconds,
    busyRate: result.requests / cpu,
    cpu: (cpu / result.requests) * 1e6,
    resident: subject.process.residentMiB(),
  };
}
