/** A process of the suite that runs with few file descriptors: greets who connects, and reports how busy it is. Told what to do by its parent. */
import { createWire, type WireMode } from '../index.ts';
import { finish, Recorder, type Served, serve } from './peers.ts';

export type Order = { listen: { mode: WireMode; secure: boolean } } | 'report' | 'finish';

class Greeter extends Recorder {
  override onData(): void {
    this.connection.writeLatin1('hello');
    this.connection.end();
  }
  override onEnd(): void {
    super.onEnd();
    this.connection.end();
  }
}

let served: Served | undefined;

function report(): void {
  const before = process.cpuUsage();
  const began = performance.now();
  setTimeout(() => {
    const { user, system } = process.cpuUsage(before);
    process.send!({ busy: (user + system) / 1000 / (performance.now() - began) });
  }, 1000);
}

process.on('message', async (order: Order) => {
  if (order === 'report') report();
  else if (order === 'finish') {
    await finish(served!);
    process.disconnect?.();
  } else {
    served = await serve(await createWire(order.listen.mode), order.listen.secure, () => new Greeter());
    process.send!(served.listener.port);
  }
});
