/** A worker thread of the suite: listens on a given port with others, and answers each connection with its thread's number. */
import { parentPort, threadId, workerData } from 'node:worker_threads';
import { createWire, type WireMode } from '../index.ts';
import { finish, Recorder, serve } from './peers.ts';

const { wire: mode, secure, port } = workerData as { wire: WireMode; secure: boolean; port: number };

class Names extends Recorder {
  override onData(): void {
    this.connection.writeLatin1(`thread ${threadId}`);
    this.connection.end();
  }
}

const served = await serve(await createWire(mode), secure, () => new Names(), { port, reusePort: true });
parentPort!.once('message', () => {
  void finish(served);
});
parentPort!.postMessage('listening');
