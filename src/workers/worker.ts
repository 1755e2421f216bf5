/** Entry of a worker thread: takes messages from the main thread and drives this worker's data plane by them. */
import { parentPort, workerData } from 'node:worker_threads';
import { DataPlane, ListenError } from '../proxy/data-plane.ts';
import { EventLoopDelay } from '../telemetry/event-loop-delay.ts';
import { createWire } from '../wire/index.ts';
import type { FromWorker, ToWorker, WorkerSettings } from './messages.ts';

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

const wire = await createWire(settings.wire, (message) => log('warn', message, { wire: settings.wire }));
const dataPlane = new DataPlane(settings, wire, log);
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

port.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'snapshot': {
      const startedAt = performance.now();
      dataPlane.applySnapshot(message.snapshot);
      send({ type: 'applied', version: message.snapshot.version, ms: performance.now() - startedAt });
      if (!listening) {
        listening = true;
        void listen();
      }
      break;
    }
    case 'endpoints': {
      const startedAt = performance.now();
      dataPlane.applyEndpoints(message.endpoints);
      send({ type: 'applied', version: message.version, ms: performance.now() - startedAt });
      break;
    }
    case 'ticketKeys':
      dataPlane.setTicketKeys(Buffer.from(message.keys));
      break;
    case 'collectMetrics':
      send({ type: 'metrics', id: message.id, families: dataPlane.collectMetrics(), eventLoopDelay: eventLoopDelay.take() });
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
