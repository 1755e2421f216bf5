/**
 * Where reads go: one buffer for all connections of the thread, or one of a connection's own while it is in bulk mode.
 *
 * What a connection of its own has read stays where it is until the other side took it, so the size of that buffer is what
 * a slow reader costs: under 64 KiB, also of one that was fast until it stalled (issue 3). Buffers of 256 KiB for sides that
 * are fast moved long bodies no faster that the benchmark could tell.
 */
const SIZE = 48 * 1024;
/** Buffers that are kept for the next connection. */
const KEPT = 64;

interface Lease {
  /** Writes that still refer to the buffer's bytes. */
  writes: number;
  returned: boolean;
}

export class ReadBuffers {
  /** Read into by every connection that is not in bulk mode: what was read is consumed before the next read. */
  readonly shared = Buffer.allocUnsafeSlow(SIZE);
  private readonly free: Buffer[] = [];
  private readonly leases = new WeakMap<Buffer, Lease>();

  take(): Buffer {
    const buffer = this.free.pop() ?? Buffer.allocUnsafeSlow(SIZE);
    this.leases.set(buffer, { writes: 0, returned: false });
    return buffer;
  }

  /**
   * A copy of `bytes[start..end)`, which may be more than that long, for one write: to be given back when the write has
   * been started. Most writes are done by then, so that the next one gets the same memory.
   */
  copyOf(bytes: Buffer, start: number, end: number): Buffer {
    const copy = end - start > SIZE ? Buffer.allocUnsafeSlow(end - start) : this.take();
    bytes.copy(copy, 0, start, end);
    return copy;
  }

  /** The connection reads into it no more. It goes to another one only when no write refers to it any longer. */
  giveBack(buffer: Buffer): void {
    const lease = this.leases.get(buffer);
    if (lease === undefined || lease.returned) return;
    lease.returned = true;
    this.recycle(buffer, lease);
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

  private recycle(buffer: Buffer, lease: Lease): void {
    if (!lease.returned || lease.writes > 0) return;
    this.leases.delete(buffer);
    if (this.free.length < KEPT) this.free.push(buffer);
  }
}
