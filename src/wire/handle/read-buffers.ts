/** Where reads go: one buffer for all connections of the thread, or one of a connection's own while it is in bulk mode. */
export const READ_BUFFER = 64 * 1024;
/** Own buffers that are kept for the next connection. */
const KEPT = 64;

interface Lease {
  /** Writes that still refer to the buffer's bytes. */
  writes: number;
  returned: boolean;
}

export class ReadBuffers {
  /** Read into by every connection that is not in bulk mode: what was read is consumed before the next read. */
  readonly shared = Buffer.allocUnsafeSlow(READ_BUFFER);
  private readonly free: Buffer[] = [];
  private readonly leases = new WeakMap<Buffer, Lease>();

  take(): Buffer {
    const buffer = this.free.pop() ?? Buffer.allocUnsafeSlow(READ_BUFFER);
    this.leases.set(buffer, { writes: 0, returned: false });
    return buffer;
  }

  /** The connection reads into it no more. It goes to another one only when no write refers to it any longer. */
  giveBack(buffer: Buffer): void {
    const lease = this.leases.get(buffer);
    if (lease === undefined || lease.returned) return;
    lease.returned = true;
    this.recycle(buffer, lease);
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
