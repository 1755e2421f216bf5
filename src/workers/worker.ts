/** Entry of a worker thread: takes messages from the main thread and drives this worker's data plane by them. */
import { deserialize } from 'node:v8';
import { BroadcastChannel, parentPort, workerData } from 'node:worker_threads';
import type { CacheNews } from '../policies/cache/response-cache.ts';
import { DataPlane, ListenError } from '../proxy/data-plane.ts';
import { EventLoopDelay } from '../telemetry/event-loop-delay.ts';
import { createWire } from '../wire/index.ts';
import type { ChangePart, FromWorker, HealthNews, PublishedEndpoints, ToWorker, WorkerSettings } from './messages.ts';
import { oneStep, SlicedWork, type Steps } from './sliced-work.ts';
import { Pulses } from './worker-watch.ts';

const port = parentPort;
if (port === null) throw new Error('worker.ts runs only as a worker thread');
const settings = workerData as WorkerSettings;

function send(message: FromWorker): void {
  port?.postMessage(message);
}

function log(level: 'info' | 'warn' | 'error', message: string, fields: Readonly<Record<string, unknown>>): void {
  send({ type: 'log', level, message, fields });
}

const eventLoopDelay = new EventLoopDelay();
const pulses = new Pulses(settings.shared.pulses);
setInterval(() => pulses.beat(settings.worker), settings.pulse);

const wire = await createWire(settings.wire, (message) => log('warn', message, { wire: settings.wire }));
const news = new BroadcastChannel(settings.healthChannel);
const cacheNews = new BroadcastChannel(settings.cacheChannel);
const dataPlane = new DataPlane(settings, wire, log, {
  failing: (upstream, endpoint) => news.postMessage({ type: 'failing', upstream, endpoint } satisfies HealthNews),
  cacheNews: (told) => cacheNews.postMessage(told),
  refetchDocument: (key) => send({ type: 'refetchDocument', key }),
  claimRefresh: (key) => send({ type: 'claimRefresh', key }),
  settleRefresh: (key, outcome) => send({ type: 'settleRefresh', key, outcome }),
  descriptorsUsedUp: () => send({ type: 'descriptorsUsedUp' }),
  spans: (spans) => send({ type: 'spans', spans }),
});
const work = new SlicedWork();
let listening = false;

async function listen(): Promise<void> {
  try {
    await dataPlane.listen();
    send({ type: 'serving', wire: wire.name });
  } catch (error) {
    if (!(error instanceof ListenError)) throw error;
    send({ type: 'listenFailed', listener: error.listener, address: settings[error.listener], code: error.code });
  }
}

function* applyChange({ parts, end }: ToWorker & { readonly type: 'change' }): Steps & Iterable<void> {
  const startedAt = performance.now();
  yield* dataPlane.applyChange(readParts(parts), end);
  send({ type: 'applied', version: end.version, ms: performance.now() - startedAt });
  if (listening) return;
  listening = true;
  void listen();
}

/** Each part is read when its turn comes. */
function* readParts(parts: readonly Uint8Array[]): Generator<ChangePart> {
  for (const part of parts) yield deserialize(part) as ChangePart;
}

function applyEndpoints(version: number, endpoints: PublishedEndpoints): void {
  const startedAt = performance.now();
  dataPlane.applyEndpoints(endpoints);
  send({ type: 'applied', version, ms: performance.now() - startedAt });
}

news.onmessage = (event) => {
  const message = (event as MessageEvent).data as HealthNews;
  if (message.type === 'turned') dataPlane.healthChanged(message.upstream);
};

cacheNews.onmessage = (event) => {
  dataPlane.onCacheNews((event as MessageEvent).data as CacheNews);
};

port.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'change':
      work.add(applyChange(message));
      break;
    case 'endpoints':
      work.add(oneStep(() => applyEndpoints(message.version, message.endpoints)));
      break;
    case 'ticketKeys':
      dataPlane.setTicketKeys(Buffer.from(message.keys));
      break;
    case 'document':
      dataPlane.setDocument(message.state);
      break;
    case 'documentGone':
      dataPlane.forgetDocument(message.key);
      break;
    case 'refresh':
      dataPlane.refreshTold(message.key, message.outcome);
      break;
    case 'collectMetrics':
      send({ type: 'metrics', id: message.id, families: dataPlane.collectMetrics(), eventLoopDelay: eventLoopDelay.take() });
      break;
    case 'descriptorsUsedUp':
      dataPlane.descriptorsUsedUp();
      break;
    case 'workerGone':
      dataPlane.workerGone(message.worker);
      break;
    case 'reopenLog':
      dataPlane.reopenLog();
      break;
    case 'drain':
      dataPlane.drain();
      break;
    case 'closeListeners':
      void dataPlane.closeListeners().then(() => send({ type: 'drained' }));
      break;
    case 'stopExchanges':
      void dataPlane.stopExchanges().then((exchanges) => send({ type: 'stopped', exchanges }));
      break;
  }
});
