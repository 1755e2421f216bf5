import type { Deadlines, Timed } from '../../exchange/deadlines.ts';
import type { Connection, HandshakeStart, PrefaceOutcome, PrefaceReader } from '../wire.ts';
import type { StreamHandle, TcpHandle } from './bindings.ts';
import type { Native } from './native.ts';
import type { ConnectionEnds } from './server-handshake.ts';

/** Who began to read a preface, and hears what came of it; the listener. */
export interface PrefaceOwner {
  readonly native: Native;
  /** @param first what was read beyond the preface @param accept takes the connection as it is */
  prefaceRead(
    tcp: TcpHandle,
    ends: ConnectionEnds,
    first: Buffer | undefined,
    accept: ((connection: Connection) => void) | undefined,
    handshake: HandshakeStart | undefined,
  ): void;
  /** The handle of a connection that came to nothing is closed. */
  released(): void;
}

const NOTHING = Buffer.alloc(0);

/** The first bytes of a connection, read from its TCP handle before anything else is made of it. */
export class PrefaceReading implements Timed {
  deadline: number;
  deadlineIndex = -1;
  private readonly owner: PrefaceOwner;
  private readonly tcp: TcpHandle;
  private readonly reader: PrefaceReader;
  private readonly ends: ConnectionEnds;
  private readonly deadlines: Deadlines;
  private bytes: Buffer = NOTHING;
  private over = false;

  /** @param ends those of the handle @param timeout milliseconds */
  constructor(owner: PrefaceOwner, tcp: TcpHandle, reader: PrefaceReader, ends: ConnectionEnds, deadlines: Deadlines, timeout: number) {
    this.owner = owner;
    this.tcp = tcp;
    this.reader = reader;
    this.ends = ends;
    this.deadlines = deadlines;
    this.deadline = performance.now() + timeout;
    tcp.owner = this;
    tcp.onread = onRead;
    tcp.useUserBuffer(owner.native.buffers.shared);
  }

  start(): void {
    this.deadlines.add(this);
    if (this.tcp.readStart() !== 0) this.onDeadline();
  }

  /** Something was read, or the end or an error came. */
  read(): Buffer | undefined {
    if (this.over) return undefined;
    const { native } = this.owner;
    const length = native.state[native.readBytes] as number;
    if (length < 0) {
      this.onDeadline();
      return undefined;
    }
    if (length === 0) return undefined;
    // What the buffer holds is gone with the next read of anybody.
    const fresh = native.buffers.shared.subarray(0, length);
    this.bytes = this.bytes.length === 0 ? Buffer.from(fresh) : Buffer.concat([this.bytes, fresh]);
    let outcome: PrefaceOutcome | undefined;
    try {
      outcome = this.reader.read(this.bytes);
    } catch {
      outcome = 'refused';
    }
    if (outcome === undefined) return undefined;
    if (outcome === 'refused') {
      this.close();
      return undefined;
    }
    this.finish();
    this.tcp.readStop();
    const { skip, ends, accept, handshake } = outcome;
    const from =
      ends === undefined
        ? this.ends
        : { remoteAddress: ends.sourceAddress, remotePort: ends.sourcePort, localAddress: ends.destinationAddress, localPort: ends.destinationPort };
    this.owner.prefaceRead(this.tcp, from, skip < this.bytes.length ? this.bytes.subarray(skip) : undefined, accept, handshake);
    return undefined;
  }

  onDeadline(): void {
    if (this.over) return;
    this.close();
    this.reader.abandoned();
  }

  closed(): void {
    this.owner.released();
  }

  private close(): void {
    this.finish();
    this.tcp.close(onClosed);
  }

  private finish(): void {
    this.over = true;
    this.deadlines.remove(this);
  }
}

function onRead(this: StreamHandle): Buffer | undefined {
  return (this.owner as PrefaceReading).read();
}

function onClosed(this: TcpHandle): void {
  (this.owner as PrefaceReading).closed();
}
