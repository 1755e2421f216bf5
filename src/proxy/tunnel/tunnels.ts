import type { Tunnel } from './tunnel.ts';

/** For the log: a tunnel that ended because the gateway does. */
const DRAINED = 'drain';

/** The tunnels of one worker, for what concerns all of them. */
export class Tunnels {
  readonly #open = new Set<Tunnel>();
  #closing = false;
  #onNone: (() => void) | undefined = undefined;

  add(tunnel: Tunnel): void {
    this.#open.add(tunnel);
    if (this.#closing) tunnel.close(DRAINED);
  }

  remove(tunnel: Tunnel): void {
    this.#open.delete(tunnel);
    if (this.#open.size === 0) this.#onNone?.();
  }

  /** Ends them in good order, and each one that still begins; resolves when none is left, after a few seconds at most. */
  async close(): Promise<void> {
    this.#closing = true;
    for (const tunnel of [...this.#open]) tunnel.close(DRAINED);
    if (this.#open.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#onNone = resolve;
    });
  }

  /** Ends them at once. @returns how many there were */
  stop(reason: string): number {
    const { size } = this.#open;
    for (const tunnel of [...this.#open]) tunnel.stop(reason);
    return size;
  }
}
