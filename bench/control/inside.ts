/** What bench-control.ts starts inside the namespaces: the cluster, the gateway before it, and the measurements. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { ControlPlane } from '../../test-e2e/control-plane/control-plane.ts';
import { percentile } from '../../test-e2e/percentile.ts';
import { constantRate, type LoadResult, wrk } from '../load.ts';
import { Process } from '../processes.ts';
import { ApiServer } from './api-server.ts';
import { Changes, type ChangeTimes } from './changes.ts';
import { ENDPOINTS_PER_SERVICE, everything, foundations, hostOf, PATHS_PER_INGRESS, type Size } from './objects.ts';
import { controlMarkdown, type Row, replaceControl } from './report.ts';

const root = join(import.meta.dirname, '../..');
const page = join(root, 'docs/performance.md');

const HTTP = 8080;
const HTTPS = 8443;
const ADMIN = 9901;
const WORKERS = 2;
/** As many cores as the goals are for. */
const CORES = '0-1';

const GOALS = { ready: 15, resident: 600, endpoints: 100, ingresses: 1000, delay: 20, slowdown: 2 };

interface Options {
  readonly size: Size;
  readonly seconds: number;
}

function options(): Options {
  const { values } = parseArgs({ options: { ingresses: { type: 'string' }, seconds: { type: 'string' } } });
  const ingresses = Number(values.ingresses ?? 10_000);
  return { size: { ingresses, services: ingresses / 5 }, seconds: Number(values.seconds ?? 30) };
}

function say(message: string): void {
  console.error(`${new Date().toISOString().slice(11, 19)} ${message}`);
}

/** Peak of the resident memory so far, in MiB. */
function peakMiB(pid: number): number {
  return Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
}

async function ready(): Promise<boolean> {
  const answer = await fetch(`http://127.0.0.1:${ADMIN}/readyz`).catch(() => undefined);
  await answer?.text();
  return answer?.status === 200;
}

/** Milliseconds by thread, 99th percentile since the last call. */
async function eventLoopDelays(): Promise<Map<string, number>> {
  const text = await (await fetch(`http://127.0.0.1:${ADMIN}/metrics`)).text();
  const delays = new Map<string, number>();
  for (const [, thread, seconds] of text.matchAll(/^tidegate_event_loop_delay_seconds\{thread="([^"]+)"\} (\S+)$/gm))
    delays.set(thread as string, Number(seconds) * 1000);
  return delays;
}

interface Phase {
  readonly load: LoadResult;
  readonly delays: Map<string, number>;
  /** CPU of the gateway. */
  readonly cpuSeconds: number;
}

const { size, seconds } = options();
const plane = await ControlPlane.start({ apiServerFlags: ['--max-requests-inflight=2000', '--max-mutating-requests-inflight=1000'] });
const server = new ApiServer(plane.kubeconfig);
await plane.installCrds();
// Nothing here is theirs to do, and they would take the cores.
await plane.stopControllerManager();
say(`creating ${size.ingresses} Ingresses, ${size.services} Services with ${ENDPOINTS_PER_SERVICE} endpoints each`);
const loadingAt = performance.now();
await server.createAll(foundations());
const objects = await server.createAll(everything(size));
say(`${objects} objects created in ${((performance.now() - loadingAt) / 1000).toFixed(0)} s`);

const backend = new Process('the backend', process.execPath, [join(import.meta.dirname, 'backend.ts')], { cores: CORES });
await backend.untilListening(9000);

const changes = new Changes(server, size, HTTP);
/** A host of the part that no change touches. */
const host = hostOf(size.services - 1);
const to = { http: HTTP, https: HTTPS };

async function measure(): Promise<Row[]> {
  const startedAt = performance.now();
  const addresses = ['--http', `127.0.0.1:${HTTP}`, '--https', `127.0.0.1:${HTTPS}`, '--admin', `127.0.0.1:${ADMIN}`];
  const gateway = new Process(
    'Tidegate',
    join(root, 'bin/tidegate'),
    ['serve', '--kubeconfig', plane.kubeconfig, ...addresses, '--workers', String(WORKERS), '--access-log', 'off'],
    { cores: CORES },
  );
  try {
    await gateway.until(ready, 'become ready');
    const readySeconds = (performance.now() - startedAt) / 1000;
    const readyCpu = gateway.cpuSeconds();
    const residentAtReady = gateway.residentMiB();
    say(
      `ready after ${readySeconds.toFixed(1)} s, ${readyCpu.toFixed(1)} s of CPU, ${residentAtReady.toFixed(0)} MiB, peak ${peakMiB(gateway.pid).toFixed(0)} MiB`,
    );
    await sleep(5000);
    const residentAtRest = gateway.residentMiB();
    say(`at rest: ${residentAtRest.toFixed(0)} MiB`);

    const most = await wrk({ headers: [`Host: ${host}`] })(to, 5);
    const rate = Math.round(most.requests / most.seconds / 2);
    say(`at most ${Math.round(most.requests / most.seconds)} requests/s`);
    const during = async <T>(work: () => Promise<T>): Promise<readonly [Phase, T]> => {
      await eventLoopDelays();
      const cpu = gateway.cpuSeconds();
      const load = constantRate(to, seconds, rate, host);
      const result = await work();
      const delays = await eventLoopDelays();
      const cpuSeconds = gateway.cpuSeconds() - cpu;
      const phase = { load: await load, delays, cpuSeconds };
      const { p50, p99 } = phase.load.latencies as { p50: number; p99: number };
      say(
        `load: p50 ${p50 / 1000} ms, p99 ${p99 / 1000} ms, ${phase.load.errors} errors; delays ${JSON.stringify(Object.fromEntries(delays))}; CPU ${cpuSeconds.toFixed(1)} s`,
      );
      return [phase, result];
    };
    const [quiet] = await during(() => sleep(seconds * 1000));
    const [withEndpoints, endpoints] = await during(() => changes.endpointSlices(seconds, 50));
    tell('EndpointSlices', endpoints);
    const [withIngresses, ingresses] = await during(() => changes.ingresses(seconds, 100));
    tell('Ingresses', ingresses);
    const residentAfter = gateway.residentMiB();
    const peak = peakMiB(gateway.pid);
    say(`after: ${residentAfter.toFixed(0)} MiB, peak ${peak.toFixed(0)} MiB`);

    const latency = (phase: Phase): number => (phase.load.latencies?.p99 ?? Number.NaN) / 1000;
    const delay = (phase: Phase): number => Math.max(...[...phase.delays].filter(([thread]) => thread !== 'main').map(([, value]) => value));
    const perChange = (phase: Phase, times: ChangeTimes): string => `${(((phase.cpuSeconds - quiet.cpuSeconds) / times.served.length) * 1000).toFixed(0)} ms`;
    const atMost = (what: string, value: number, unit: string, bound: number, digits = 0): Row => ({
      what,
      measured: `${value.toFixed(digits)} ${unit}`,
      goal: { wanted: `at most ${bound} ${unit}`, met: value <= bound },
    });
    const changeRows = (kind: string, times: ChangeTimes, phase: Phase, bound: number): Row[] => [
      { what: `${kind} change to the first request served by it, p50 of ${times.served.length}`, measured: `${percentile(times.served, 50).toFixed(0)} ms` },
      atMost('the same, p99', percentile(times.served, 99), 'ms', bound),
      {
        what: "of it the API server's own answer, p50 and p99",
        measured: `${percentile(times.accepted, 50).toFixed(0)}, ${percentile(times.accepted, 99).toFixed(0)} ms`,
      },
      { what: "CPU of Tidegate for one, beside the load's", measured: perChange(phase, times) },
      atMost("workers' event loop delay meanwhile, p99 of the worse one", delay(phase), 'ms', GOALS.delay, 1),
      { what: 'failed requests meanwhile', measured: `${phase.load.errors} of ${phase.load.requests}`, goal: { wanted: '0', met: phase.load.errors === 0 } },
      {
        what: 'p99 of requests meanwhile, to its quiet value',
        measured: `${latency(phase).toFixed(1)} ms, ${(latency(phase) / latency(quiet)).toFixed(2)}`,
        goal: { wanted: `at most ${GOALS.slowdown}`, met: latency(phase) <= GOALS.slowdown * latency(quiet) },
      },
    ];
    return [
      atMost('From start to ready', readySeconds, 's', GOALS.ready, 1),
      { what: 'CPU of Tidegate until then', measured: `${readyCpu.toFixed(1)} s` },
      {
        what: 'resident when ready, at rest, after all changes',
        measured: `${[residentAtReady, residentAtRest, residentAfter].map((value) => value.toFixed(0)).join(', ')} MiB`,
      },
      atMost('resident, the most there ever was', peak, 'MiB', GOALS.resident),
      {
        what: `quiet, at half load (${rate} requests/s): p50 and p99 of requests`,
        measured: `${((quiet.load.latencies?.p50 ?? 0) / 1000).toFixed(1)}, ${latency(quiet).toFixed(1)} ms`,
      },
      { what: "the same: workers' event loop delay, p99 of the worse one", measured: `${delay(quiet).toFixed(1)} ms` },
      ...changeRows('EndpointSlice', endpoints, withEndpoints, GOALS.endpoints),
      ...changeRows('Ingress', ingresses, withIngresses, GOALS.ingresses),
    ];
  } finally {
    if (gateway.ended) say(gateway.output);
    await gateway.stop();
  }
}

function tell(what: string, { served, accepted }: ChangeTimes): void {
  const shown = (values: readonly number[]): string => [50, 90, 99, 100].map((percent) => percentile(values, percent).toFixed(0)).join(', ');
  say(`${what}: ${served.length} changes; served p50, p90, p99, max ${shown(served)} ms; API server ${shown(accepted)} ms`);
}

function versions(): string {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const commit = execFileSync('git', ['-C', root, 'rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  return `Tidegate ${version} (${commit}), Node.js ${process.versions.node}, Kubernetes 1.36.3`;
}

try {
  const busy = loadavg()[1]?.toFixed(1) ?? '';
  const rows = await measure();
  const report = {
    date: new Date().toISOString().slice(0, 10),
    versions: versions(),
    circumstances:
      `${cpus().length} cores (${cpus()[0]?.model ?? ''}), shared by Tidegate with ${WORKERS} workers, API server, etcd, load generator and backend; ` +
      `load average of the machine ${busy} before. ${size.ingresses} Ingresses with ${PATHS_PER_INGRESS} rules, ${size.services} Services, ` +
      `${size.services * ENDPOINTS_PER_SERVICE} endpoints in as many EndpointSlices as Services. ` +
      'A change counts from before the call of the API server; endpoint changes replace all endpoints of a Service; Ingress changes are a new path, a new Ingress, a deleted one, in turn.',
    rows,
  };
  console.log(controlMarkdown(report));
  if (size.ingresses === 10_000) writeFileSync(page, replaceControl(readFileSync(page, 'utf8'), report));
} finally {
  changes.close();
  server.close();
  await backend.stop();
  await plane.stop();
}
process.exit(0);
