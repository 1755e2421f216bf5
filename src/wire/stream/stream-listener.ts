import { createServer, type Server, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Deadlines, Timed } from '../../exchange/deadlines.ts';
import { plainAddress } from '../address.ts';
import { ClientCertificate } from '../client-certificate.ts';
import { highestAccepted } from '../descriptors.ts';
import { TicketKeys } from '../secure-context.ts';
import { unhandled } from '../unhandled.ts';
import type { Connection, HandshakeStart, ListenOptions, ServerTls, TlsInfo, WireListener } from '../wire.ts';
import { PrefaceReading } from './preface-reading.ts';
import { type ConnectionEnds, StreamConnection } from './stream-connection.ts';

export class StreamListener implements WireListener {
  connections = 0;
  refusedConnections = 0;
  failedHandshakes = 0;
  readonly pauses = 0;
  private listeningPort = 0;

  private readonly options: ListenOptions;
  private readonly accept: (connection: Connection) => void;
  private readonly server: Server;
  private readonly highestAccepted = highestAccepted();
  private readonly handshakes: Deadlines;
  private readonly ticketKeys: TicketKeys | undefined;

  /** @param handshakes clock of TLS handshakes, shared by the listeners of a wire */
  constructor(options: ListenOptions, accept: (connection: Connection) => void, handshakes: Deadlines) {
    this.options = options;
    this.accept = accept;
    this.handshakes = handshakes;
    this.ticketKeys = options.tls === undefined ? undefined : new TicketKeys(options.tls.ticketKeys);
    this.server = createServer({ allowHalfOpen: true, noDelay: true });
    this.server.maxConnections = options.maxConnections;
    this.server.on('drop', () => {
      this.refusedConnections++;
    });
    this.server.on('connection', (socket) => this.onConnection(socket));
  }

  get port(): number {
    return this.listeningPort;
  }

  listen(): Promise<void> {
    const { host, port, reusePort, backlog } = this.options;
    return new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen({ host, port, reusePort, exclusive: true, ...(backlog === undefined ? {} : { backlog }) }, () => {
        const address = this.server.address();
        this.listeningPort = typeof address === 'object' && address !== null ? address.port : port;
        this.server.off('error', reject);
        // A failed accept concerns that one connection only; the server goes on.
        this.server.on('error', () => {
          this.refusedConnections++;
        });
        resolve();
      });
    });
  }

  pauseAccepting(): void {}

  setTicketKeys(keys: Buffer): void {
    this.ticketKeys?.set(keys);
  }

  close(): Promise<void> {
    // The port is free when this returns; 'close' would wait for the connections as well.
    this.server.close();
    return Promise.resolve();
  }

  private onConnection(raw: Socket): void {
    // Node shows the number without promising it; without it accepting goes on until the system says no.
    const descriptor = (raw as unknown as { readonly _handle?: { readonly fd?: number } })._handle?.fd ?? 0;
    if (descriptor > this.highestAccepted) {
      this.refusedConnections++;
      raw.on('error', ignore);
      raw.destroy();
      return;
    }
    this.connections++;
    raw.once('close', () => {
      this.connections--;
    });
    // Without an address the client is gone already.
    if (raw.remoteAddress === undefined) {
      raw.on('error', ignore);
      raw.destroy();
      return;
    }
    const ends: ConnectionEnds = { address: raw.remoteAddress, port: raw.remotePort ?? 0, localAddress: undefined, localPort: 0 };
    const { preface } = this.options;
    const reader = preface?.begin(plainAddress(raw.remoteAddress));
    if (preface === undefined || reader === undefined) {
      this.begin(raw, ends, undefined);
      return;
    }
    const reading = new PrefaceReading(raw, reader, this.handshakes, ({ ends: proxied, accept, handshake }) => {
      const from =
        proxied === undefined
          ? ends
          : { address: proxied.sourceAddress, port: proxied.sourcePort, localAddress: proxied.destinationAddress, localPort: proxied.destinationPort };
      if (accept === undefined) this.begin(raw, from, handshake);
      else this.open(raw, raw, undefined, from, accept);
    });
    reading.start(preface.timeout);
  }

  private begin(raw: Socket, ends: ConnectionEnds, start: HandshakeStart | undefined): void {
    const { tls } = this.options;
    if (tls === undefined) this.open(raw, raw, undefined, ends, this.accept);
    else this.secure(raw, tls, ends, start);
  }

  private secure(raw: Socket, tls: ServerTls, ends: ConnectionEnds, start: HandshakeStart | undefined): void {
    let socket: TLSSocket;
    try {
      socket = start === undefined ? this.plainHandshake(raw, tls) : this.askingHandshake(raw, tls, start);
      socket.disableRenegotiation();
    } catch {
      this.failedHandshakes++;
      raw.on('error', ignore);
      raw.destroy();
      return;
    }
    const handshake = new Handshake(socket, tls.handshakeTimeout);
    const failed = () => {
      this.handshakes.remove(handshake);
      this.failedHandshakes++;
    };
    socket.on('error', ignore);
    // Errors of the record layer are not errors of the socket unless a tls.Server made it.
    socket.on('_tlsError', (error: Error) => socket.destroy(error));
    // The peer may half-close afterwards, but not while it shakes hands.
    const vanished = () => socket.destroy();
    socket.once('end', vanished);
    socket.once('close', failed);
    socket.once('secure', () => {
      this.handshakes.remove(handshake);
      socket.off('close', failed);
      socket.off('end', vanished);
      const info: TlsInfo = {
        version: socket.getProtocol() ?? '',
        serverName: (socket as unknown as { servername: string | false | null }).servername || '',
        resumed: socket.isSessionReused(),
        alpn: socket.alpnProtocol || '',
        ...(start === undefined ? {} : { clientCertificate: clientCertificateOf(socket, start) }),
      };
      this.open(socket, raw, info, ends, this.accept);
    });
    this.handshakes.add(handshake);
  }

  private plainHandshake(raw: Socket, tls: ServerTls): TLSSocket {
    const context = tls.secureContext('');
    this.ticketKeys?.apply(context);
    const socket: TLSSocket = new TLSSocket(raw, {
      isServer: true,
      requestCert: false,
      secureContext: context,
      ALPNProtocols: tls.alpnProtocols as string[],
      SNICallback(name, done) {
        // A throw here must end this handshake, not the process.
        try {
          done(null, tls.secureContext(name, socket));
        } catch (error) {
          done(error instanceof Error ? error : new Error(String(error)));
        }
      },
    });
    return socket;
  }

  /** Everything is known: no other context takes its place on the way. */
  private askingHandshake(raw: Socket, tls: ServerTls, { id, secureContext }: HandshakeStart): TLSSocket {
    this.ticketKeys?.apply(secureContext, id);
    return new TLSSocket(raw, {
      isServer: true,
      requestCert: true,
      rejectUnauthorized: false,
      secureContext,
      ALPNProtocols: tls.alpnProtocols as string[],
    });
  }

  private open(socket: Socket | TLSSocket, raw: Socket, tls: Connection['tls'], ends: ConnectionEnds, accept: (connection: Connection) => void): void {
    const connection = new StreamConnection(socket, raw, unhandled, ends, this.listeningPort, tls);
    accept(connection);
    socket.on('data', (bytes: Buffer) => connection.received(bytes, 0, bytes.length));
  }
}

interface Verification {
  verifyError(): NodeJS.ErrnoException | null | undefined;
}

/** `authorized` and its like are set where a `tls.Server` made the socket; they come from what is asked here. */
function clientCertificateOf(socket: TLSSocket, { id }: HandshakeStart): ClientCertificate {
  const handle = (socket as unknown as { _handle: Partial<Verification> | null })._handle;
  // Where nobody says how it went, nothing has been verified.
  if (handle?.verifyError === undefined) return new ClientCertificate(id, undefined, undefined);
  const error = handle.verifyError();
  return new ClientCertificate(id, socket.getPeerX509Certificate()?.raw, error ? (error.code ?? error.message) : undefined);
}

class Handshake implements Timed {
  deadline: number;
  deadlineIndex = -1;
  private readonly socket: TLSSocket;

  constructor(socket: TLSSocket, timeout: number) {
    this.socket = socket;
    this.deadline = performance.now() + timeout;
  }

  onDeadline(): void {
    this.deadline = Number.POSITIVE_INFINITY;
    this.socket.destroy();
  }
}

function ignore(): void {}
