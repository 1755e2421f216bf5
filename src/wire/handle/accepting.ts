import { acceptLimits, lowestFree } from '../descriptors.ts';
import type { TcpHandle } from './bindings.ts';

/** Milliseconds from one look for room to the next, while accepting pauses. */
const LOOK_AGAIN = 20;
/** Looks in vain after which it is told once more. */
const TELL_AGAIN = 10;

/**
 * Whether a listening handle accepts. Without file descriptors it pauses: clients wait in the kernel's queue until there is room.
 *
 * libuv has no call for that. It watches a listening handle as it watches one that is read from, and `readStart` and `readStop`
 * put on and off that watch whichever of the two the handle is, where it counts as one that can be read. Those that were opened
 * by a descriptor do; so this one is opened by its own.
 */
export class Accepting {
  /** Times that it paused. */
  pauses = 0;
  private readonly server: TcpHandle;
  private readonly paused: () => void;
  private readonly limits = acceptLimits();
  private canPause = false;
  private timer: NodeJS.Timeout | undefined = undefined;
  private looks = 0;

  /** @param paused called whenever it pauses, and again and again until it goes on */
  constructor(server: TcpHandle, paused: () => void) {
    this.server = server;
    this.paused = paused;
  }

  /** Between `bind` and `listen`. */
  prepare(): void {
    this.canPause = this.server.open(this.server.fd) === 0;
  }

  /** After `listen`. */
  begin(): void {
    if (this.canPause) this.canPause = this.server.readStart() === 0;
  }

  /** A connection was accepted. @param fd its descriptor @returns false: there is no room for it */
  admits(fd: number): boolean {
    if (fd <= this.limits.highest) return true;
    if (!this.canPause) return false;
    this.pause();
    return fd <= this.limits.most;
  }

  /**
   * Another descriptor of the process was taken: when few are left, accepting pauses. With none left libuv would take whoever comes
   * next, and all that wait with it, and drop them.
   * @param fd infinite: there was none left
   */
  taken(fd: number): void {
    if (fd > this.limits.highest && this.canPause) this.pause();
  }

  /** Before the handle is closed. */
  end(): void {
    clearInterval(this.timer);
    this.timer = undefined;
    this.canPause = false;
  }

  private pause(): void {
    if (this.timer !== undefined) return;
    this.server.readStop();
    this.pauses++;
    this.looks = 0;
    this.timer = setInterval(() => this.goOn(), LOOK_AGAIN);
    this.paused();
  }

  private goOn(): void {
    if (lowestFree() > this.limits.highest) {
      if (++this.looks % TELL_AGAIN === 0) this.paused();
      return;
    }
    clearInterval(this.timer);
    this.timer = undefined;
    this.server.readStart();
  }
}
