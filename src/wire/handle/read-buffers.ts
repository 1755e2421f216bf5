/**
 * Where reads go: one buffer for all connections of the thread, or one of a connection's own while it is in bulk mode.
 *
 * What a connection of its own has read stays where it is until the other side took it, so the size of that buffer is what
 * a slow reader costs: small. A larger one halves the cost of moving a long body, and is lent out where the other side has
 * shown that it takes much without delay; only so many at once, since even such a side may stall.
 */
const SMALL = 48 * 1024;
const LARGE = 256 * 1024;
/** Small buffers that are kept for the next connection. */
const KEPT = 64;
/** Large buffers in use at once. */
const LARGE_LENT = 32;

interface Lease {
  /** Writes that still refer to the buffer's bytes. */
  writes: number;
  returned: boolean;
  /** The last side that its bytes were written to takes much without delay. */
  fast: boolean;
}

export class ReadBuffers {
  /** Read into by every connection that is not in bulk mode: what was read is consumed before the next read. */
  readonly shared = Buffer.allocUnsafeSlow(SMALL);
  private readonly small: Buffer[] = [];
  private readonly large: Buffer[] = [];
  private largeLent = 0;
  private readonly leases = new WeakMap<Buffer, Lease>();

  take(): Buffer {
    return this.lend(this.small.pop() ?? Buffer.allocUnsafeSlow(SMALL));
  }

  /**
   * A copy of `bytes[start..end)`, which may be more than that long, for one write: to be given back when the write has
   * been started. Most writes are done by then, so that the next one gets the same memory.
   */
  copyOf(bytes: Buffer, start: number, end: number): Buffer {
    const copy = end - start > SMALL ? Buffer.allocUnsafeSlow(end - start) : this.take();
    bytes.copy(copy, 0, start, end);
    return copy;
  }

  /** In place of `buffer`, one of the size that its last write calls for; mostly itself. */
  fitting(buffer: Buffer): Buffer {
    const lease = this.leases.get(buffer);
    if (lease === undefined || lease.fast === buffer.length > SMALL) return buffer;
    if (lease.fast && this.largeLent >= LARGE_LENT) return buffer;
    const next = lease.fast ? this.takeLarge() : this.take();
    this.giveBack(buffer);
    return next;
  }

  /** The connection reads into it no more. It goes to another one only when no write refers to it any longer. */
  giveBack(buffer: Buffer): void {
    const lease = this.leases.get(buffer);
    if (lease === undefined || lease.returned) return;
    lease.returned = true;
    this.recycle(buffer, lease);
  }

  /** Bytes of the buffer were written to a side that is fast, or not. */
  written(buffer: Buffer, fast: boolean): void {
    const lease = this.leases.get(buffer);
    if (lease !== undefined) lease.fast = fast;
  }

  isHeld(buffer: Buffer): boolean {
    return (this.leases.get(buffer)?.writes ?? 0) > 0;
  }

  /** A write that has not gone out refers to the buffer, whoever it belongs to. */
  hold(buffer: Buffer): void {
    const lease = this.leases.get(buffer);
    if (lease !== undefined) lease.writes++;
  }

  /** The write is done, or will never be. */
  release(buffer: Buffer): void {
    const lease = this.leases.get(buffer);
    if (lease === undefined) return;
    lease.writes--;
    this.recycle(buffer, lease);
  }

  private takeLarge(): Buffer {
    this.largeLent++;
    const buffer = this.lend(this.large.pop() ?? Buffer.allocUnsafeSlow(LARGE));
    this.written(buffer, true);
    return buffer;
  }

  private lend(buffer: Buffer): Buffer {
    this.leases.set(buffer, { writes: 0, returned: false, fast: false });
    return buffer;
  }

  private recycle(buffer: Buffer, lease: Lease): void {
    if (!lease.returned || lease.writes > 0) return;
    this.leases.delete(buffer);
    if (buffer.length > SMALL) {
      this.largeLent--;
      this.large.push(buffer);
    } else if (this.small.length < KEPT) {
      this.small.push(buffer);
    }
  }
}
