/** The client's end of a connection, as its exchanges see it. */
import type { TlsInfo } from '../wire/wire.ts';

/** One object for all exchanges of the connection, which keeps what they have in common. */
export interface Peer {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localPort: number;
  readonly tls: TlsInfo | undefined;
  /** What the last request's backend was told of the client. */
  forwarding?: ForwardingLines | undefined;
  /** What the log said of the last request, up to its path. */
  logOpening?: LogOpening | undefined;
  /** Where the client connected to; asks the kernel. Absent: unknown. */
  readonly localAddress?: string;
  /** What connections to backends begin with that are to know whose they are, by version of the PROXY protocol. */
  proxyHeaders?: { V1?: Buffer; V2?: Buffer } | undefined;
}

/** Field lines that hold for every request of a connection with the same authority and scheme. */
export interface ForwardingLines {
  readonly authority: string;
  readonly scheme: 'http' | 'https';
  lines: string;
  /** `lines` is in one piece. */
  isFlat: boolean;
}

/** What lines of the log say alike of requests of a connection with the same client, method and host. */
export interface LogOpening {
  readonly clientIp: string;
  readonly method: string;
  readonly host: string;
  text: string;
  /** `text` is in one piece. */
  isFlat: boolean;
}

/** Where a connection comes from, and where it leads to. */
interface ConnectionEnds {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  readonly tls: TlsInfo | undefined;
}

/** That of a connection of ours. A class: an object with an accessor of its own is one that each request looks fields up in, one by one. */
export class ConnectionPeer implements Peer {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localPort: number;
  readonly tls: TlsInfo | undefined;
  forwarding: ForwardingLines | undefined = undefined;
  logOpening: LogOpening | undefined = undefined;
  proxyHeaders: { V1?: Buffer; V2?: Buffer } | undefined = undefined;
  readonly #ends: ConnectionEnds;

  constructor(ends: ConnectionEnds) {
    this.#ends = ends;
    this.remoteAddress = ends.remoteAddress;
    this.remotePort = ends.remotePort;
    this.localPort = ends.localPort;
    this.tls = ends.tls;
  }

  get localAddress(): string {
    return this.#ends.localAddress;
  }
}
