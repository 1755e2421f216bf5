/**
 * Sockets behind one small interface, with two implementations: `stream` on public `net.Socket` and `tls.TLSSocket`,
 * and `handle` on the socket's own handle. Nothing outside this folder knows which one runs.
 */
import type { SecureContext, SecureContextOptions } from 'node:tls';
import type { ClientCertificate } from './client-certificate.ts';
import type { ProxiedEnds } from './proxy-header.ts';

/** What a connection reports. Every callback runs on the event loop, never from within a call of the connection's own methods. */
export interface ConnectionHandler {
  /** Outgoing connections only: the connection (and its TLS handshake) is up. */
  onConnect?(): void;
  /**
   * Bytes were read. `bytes[start..end)` is valid only during this call unless the connection is in bulk mode
   * (see `setBulk`); what is needed later must be copied.
   */
  onData(bytes: Buffer, start: number, end: number): void;
  /** The peer has half-closed; nothing more will be read. Writing is still possible. */
  onEnd(): void;
  /** After a write returned false: everything written so far has been handed to the kernel. */
  onDrain(): void;
  /** The connection is gone; always the last callback, exactly once. `error` is absent after an orderly close. */
  onClose(error: Error | undefined): void;
}

export interface TlsInfo {
  /** `TLSv1.2` or `TLSv1.3`. */
  readonly version: string;
  /** Server name that the client asked for (we are the client on outgoing connections); empty when none, and on `stream` for a resumed TLS 1.2 session. */
  readonly serverName: string;
  readonly resumed: boolean;
  readonly alpn: string;
  /** Where a `HandshakeStart` asked the client for one. */
  readonly clientCertificate?: ClientCertificate;
}

export interface Connection {
  /** Set by whoever owns the connection; may be replaced at any time. Must be set before the accept callback returns. */
  handler: ConnectionHandler;
  /** Without an IPv4-mapped prefix. */
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Where the client connected to: this end, or what a PROXY header says. Asks the kernel; '' when the connection is gone. */
  readonly localAddress: string;
  /** The same. */
  readonly localPort: number;
  readonly tls: TlsInfo | undefined;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** A write has failed: what the peer sent before is still read, but nothing reaches it any more, and `onClose` follows. */
  readonly isBroken: boolean;

  /**
   * Writes text whose characters are bytes (0 to 255). Returns true when the kernel took everything, false when some is
   * held: then stop, and wait for `onDrain`. Writes after the connection is gone are ignored and return true.
   */
  writeLatin1(text: string): boolean;
  /**
   * Writes `bytes[start..end)`. The bytes are copied, or gone to the kernel, before this returns, unless `stable` is
   * true: then the caller leaves them unchanged until `onDrain` (or until true was returned). Returns as writeLatin1.
   */
  write(bytes: Buffer, start: number, end: number, stable: boolean): boolean;
  /** A head and the first bytes of its body in one write to the kernel. Returns as `write`. */
  writeHeadAndBytes(head: string, bytes: Buffer, start: number, end: number, stable: boolean): boolean;

  pauseReading(): void;
  resumeReading(): void;
  /**
   * Bulk mode: `onData` gets a buffer of this connection's own, whose bytes stay unchanged while reading is paused.
   * For long bodies: write with `stable`, pause reading when that returned false. Hand on the very buffer that `onData`
   * gave, not a view of it: then the wire sees to it that nobody reads into it while a write refers to it, also after
   * bulk mode is off or this connection is gone. Off: the buffer is given back. On and off cost little and may come at
   * any time; on holds from the next read, so bytes of the current `onData` are not stable yet.
   */
  setBulk(on: boolean): void;
  /** Half-closes after everything that was written; `onClose` comes when the peer has closed too, or on `destroy`. */
  end(): void;
  /**
   * Closes as soon as everything that was written has gone to the kernel, without waiting for the peer to close. For an
   * answer that ends a connection from which everything was read: bytes that the peer sends afterwards, or that were not
   * read, make its system answer with a reset, and that may overtake the end of the answer (RFC 9112 section 9.6); then
   * `end` and a while of reading are right. Spares two system calls and a turn of the event loop over `end`.
   */
  finish(): void;
  /** Closes at once; what was not yet sent is dropped. `onClose` follows. */
  destroy(): void;
  /** Closes with a TCP RST where the platform allows it, so that the peer can't take a truncated message for a whole one. */
  reset(): void;
}

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  /** Several threads listen on the same port. */
  readonly reusePort: boolean;
  readonly backlog?: number;
  /** Connections above this are closed at once and counted. */
  readonly maxConnections: number;
  /** Called whenever accepting pauses because the process has no file descriptors left to accept with, and again and again until it goes on. */
  readonly onPause?: () => void;
  readonly tls?: ServerTls;
  /** Absent: nothing is read before TLS, or before the connection is accepted. */
  readonly preface?: Preface;
}

/** Who reads the first bytes of accepted connections, before TLS. */
export interface Preface {
  /** Milliseconds, from the accept to the last byte that is needed. */
  readonly timeout: number;
  /** @returns undefined: this connection has none @param remoteAddress of the other side, '' when it is gone already */
  begin(remoteAddress: string): PrefaceReader | undefined;
}

export interface PrefaceReader {
  /**
   * Called whenever more bytes have come; must bound by itself how many it wants. A throw closes the connection.
   * @param bytes all that has come so far; they stay unchanged
   * @returns undefined: more are needed
   */
  read(bytes: Buffer): PrefaceOutcome | undefined;
  /** The connection is gone, or the time is up, before there was an outcome. */
  abandoned(): void;
}

export type PrefaceOutcome =
  /** The connection is closed. */
  | 'refused'
  | {
      /** Bytes to be passed over; those that follow are the first of the TLS handshake, or of the connection. */
      readonly skip: number;
      /** Whose connection it is in truth. */
      readonly ends?: ProxiedEnds | undefined;
      /** How the handshake is to begin; absent: as the listener's `tls` says. */
      readonly handshake?: HandshakeStart | undefined;
      /** Takes the connection as it is, without TLS, in place of the listener's `accept`. */
      readonly accept?: (connection: Connection) => void;
    };

/** A handshake in which the client is asked for a certificate. Who has none, or no good one, is connected all the same, and known for it. */
export interface HandshakeStart {
  /** Digest of whom to trust: a session is resumed with equal ones only, so that nobody passes by having been good for another. */
  readonly id: string;
  /** Certificate and key, authorities and revocation lists, and `sessionIdContextOf(id)`. Its ticket keys are the wire's to set. */
  readonly secureContext: SecureContext;
}

/** What a client can do, as far as is known while its handshake waits for a certificate. `TLSSocket` is one. */
export interface HandshakeOffer {
  getProtocol(): string | null;
  /** As `ECDSA+SHA256`: signature algorithms that both sides have. */
  getSharedSigalgs(): readonly string[];
}

export interface ServerTls {
  /**
   * The context for a server name ('' when the client sent none). Called once for each full handshake; on `stream`, with
   * '' first for every connection. When it throws, that handshake fails.
   * @param offer given where the context takes another's place in the middle of a handshake: Node then uses a single
   *   certificate of it, so that whoever has several for one name must choose by what the client offers
   */
  secureContext(serverName: string, offer?: HandshakeOffer): SecureContext;
  /** 48 bytes, shared by all workers; replaced through `WireListener.setTicketKeys`. */
  readonly ticketKeys: Buffer;
  /** Milliseconds. */
  readonly handshakeTimeout: number;
  readonly alpnProtocols: readonly string[];
  /** Versions and suites, which the contexts above have as well; absent: `secureContextOptions`. */
  readonly contextOptions?: Readonly<SecureContextOptions>;
}

export interface WireListener {
  readonly port: number;
  /** Open connections. */
  readonly connections: number;
  /** Connections that were closed at once because of `maxConnections`, or for want of file descriptors. */
  readonly refusedConnections: number;
  /** Times that accepting paused until there were file descriptors again. `stream` never pauses. */
  readonly pauses: number;
  /** TLS handshakes that failed or timed out. */
  readonly failedHandshakes: number;
  /** For whoever hears of it elsewhere that there are no file descriptors left: pauses, if that is so. `stream` goes on. */
  pauseAccepting(): void;
  setTicketKeys(keys: Buffer): void;
  /** Stops accepting; connections that are open stay. */
  close(): Promise<void>;
}

export interface ConnectOptions {
  /** IPv4 or IPv6, numeric. A name is never resolved: the connection fails with ERR_INVALID_IP_ADDRESS. */
  readonly host: string;
  readonly port: number;
  readonly handler: ConnectionHandler;
  /** Absent: plain TCP. */
  readonly tls?: ClientTls;
  /** Sent first of all, in clear, before TLS: a PROXY header. Stays unchanged. */
  readonly preamble?: Buffer | undefined;
}

/** The client's side of TLS. What is sent before the handshake is done and the server is verified is held back until then. */
export interface ClientTls {
  /** Roots, own certificate, versions and suites; see `clientContextOptions`. */
  readonly secureContext: SecureContext;
  /** Server name indication (RFC 6066 section 3); '' sends none. Never an IP address. */
  readonly serverName: string;
  /** DNS name or IP address that the server's certificate must be for. Undefined: nothing about the certificate is verified. */
  readonly verifyName: string | undefined;
  /** In order of preference; empty: the extension is not sent. What the server chose is in `TlsInfo.alpn`, '' when it chose nothing. */
  readonly alpnProtocols: readonly string[];
  /** The connection fails when the server chooses none of `alpnProtocols`. */
  readonly requireAlpn: boolean;
  /** Keeps sessions for resumption. To be shared by connections to the same endpoint with these very settings only, for resumption verifies no certificate again. */
  readonly sessions: SessionSlot;
}

/** The newest session of an endpoint; empty at first. Belongs to the wire that it is used with. */
export interface SessionSlot {
  session: Buffer | undefined;
  /** When the certificate that was verified for it expires; milliseconds since the epoch. */
  until: number;
}

export interface Wire {
  readonly name: 'stream' | 'handle';
  /**
   * @param accept called for each new connection (after its TLS handshake); must set `connection.handler`
   * @throws (rejects) with the system's error, such as EADDRINUSE
   */
  listen(options: ListenOptions, accept: (connection: Connection) => void): Promise<WireListener>;
  /**
   * Returns at once; `handler.onConnect` or `handler.onClose(error)` follows. TCP_NODELAY is set. With `tls`, `onConnect` comes
   * after the handshake, and what fails about TLS is a `TlsError`. There is no time-out: whoever connects destroys the
   * connection when it takes too long.
   */
  connect(options: ConnectOptions): Connection;
}
