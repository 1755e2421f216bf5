/** Entry of the health thread: checks endpoints, and decides which are in use, whatever else the process is busy with. */
import { BroadcastChannel, parentPort, workerData } from 'node:worker_threads';
import { healthFamilies } from '../upstream/health/health-metrics.ts';
import { HealthMonitor } from '../upstream/health/health-monitor.ts';
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

const monitor = new HealthMonitor({
  shared: new SharedHealth(health),
  probe,
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
      monitor.update(message.set, message.removed, message.keep);
      break;
    case 'collectMetrics':
      send({ type: 'metrics', id: message.id, families: healthFamilies(monitor.counts) });
      break;
  }
});
