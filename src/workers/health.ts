/** Entry of the health thread: checks endpoints, and decides which are in use, whatever else the process is busy with. */
import { BroadcastChannel, parentPort, workerData } from 'node:worker_threads';
import { BackendTlsStore } from '../proxy/tls/backend-tls-store.ts';
import type { UpstreamKey } from '../snapshot/upstream.ts';
import { healthFamilies } from '../upstream/health/health-metrics.ts';
import { type CheckedUpstream, HealthMonitor } from '../upstream/health/health-monitor.ts';
import { monotonicNow } from '../upstream/health/monotonic-clock.ts';
import { probe } from '../upstream/health/probes.ts';
import { SharedHealth } from '../upstream/health/shared-health.ts';
import type { FromHealthThread, HealthNews, HealthSettings, ToHealthThread } from './messages.ts';

const port = parentPort;
if (port === null) throw new Error('health.ts runs only as a worker thread');
const { health, healthChannel } = workerData as HealthSettings;
const news = new BroadcastChannel(healthChannel);

function send(message: FromHealthThread): void {
  port?.postMessage(message);
}

/** By upstream, so that they go with it. */
const certificates = new Map<UpstreamKey, NonNullable<CheckedUpstream['certificate']>>();
const tls = new BackendTlsStore((level, message, fields) => send({ type: 'log', level, message, fields }));

function update({ set, removed, keep }: ToHealthThread & { readonly type: 'upstreams' }): void {
  for (const { upstream, certificate } of set) {
    if (certificate === undefined) certificates.delete(upstream.key);
    else certificates.set(upstream.key, certificate);
  }
  for (const key of removed) certificates.delete(key);
  tls.know([...certificates.values()]);
  tls.forget(removed);
  monitor.update(set, removed, keep);
}

const monitor = new HealthMonitor({
  shared: new SharedHealth(health),
  probe,
  tlsOf: (upstream, address, port) => tls.of(upstream, address, port),
  now: monotonicNow,
  random: Math.random,
  setTimer: setTimeout,
  clearTimer: (timer) => clearTimeout(timer as NodeJS.Timeout | undefined),
  afterInput: setImmediate,
  log: (level, message, fields) => send({ type: 'log', level, message, fields }),
  onTurned: (upstream) => news.postMessage({ type: 'turned', upstream } satisfies HealthNews),
});

news.onmessage = (event) => {
  const message = (event as MessageEvent).data as HealthNews;
  if (message.type === 'failing') monitor.failing(message.upstream, message.endpoint);
};

port.on('message', (message: ToHealthThread) => {
  switch (message.type) {
    case 'upstreams':
      update(message);
      break;
    case 'collectMetrics':
      send({ type: 'metrics', id: message.id, families: healthFamilies(monitor.counts) });
      break;
  }
});
