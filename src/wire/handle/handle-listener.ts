import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { Deadlines } from '../../exchange/deadlines.ts';
import { plainAddress } from '../address.ts';
import { isWithoutDescriptor, lowestFree } from '../descriptors.ts';
import { secureContextOptions, TicketKeys } from '../secure-context.ts';
import { unhandled } from '../unhandled.ts';
import type { Connection, HandshakeStart, ListenOptions, ServerTls, WireListener } from '../wire.ts';
import { Accepting } from './accepting.ts';
import type { SocketName, TcpHandle } from './bindings.ts';
import { HandleConnection } from './handle-connection.ts';
import type { Native } from './native.ts';
import { type PrefaceOwner, PrefaceReading } from './preface-reading.ts';
import { type ConnectionEnds, type HandshakeOwner, ServerHandshake } from './server-handshake.ts';
import { systemError } from './system-error.ts';

/** As `node:net`: the kernel rounds it up to a power of two. */
const BACKLOG = 511;
/** An accepted socket has the listening one's TCP_NODELAY there, which saves a system call for each. */
const INHERITS_NO_DELAY = process.platform === 'linux';

export class HandleListener implements WireListener, HandshakeOwner, PrefaceOwner {
  connections = 0;
  refusedConnections = 0;
  failedHandshakes = 0;
  port = 0;

  readonly native: Native;
  readonly tls: ServerTls;
  private readonly secure: boolean;
  private readonly options: ListenOptions;
  private readonly accept: (connection: Connection) => void;
  private readonly handshakes: Deadlines;
  private readonly server: TcpHandle;
  private readonly accepting: Accepting;
  private closing: Promise<void> | undefined = undefined;

  /** Of TLS: what every handshake starts with. */
  private readonly context: SecureContext | undefined;
  private readonly ticketKeys: TicketKeys | undefined;
  private readonly alpn: Buffer | undefined;

  /** @param handshakes clock of TLS handshakes, shared by the listeners of a wire */
  constructor(native: Native, options: ListenOptions, accept: (connection: Connection) => void, handshakes: Deadlines) {
    this.native = native;
    this.options = options;
    this.accept = accept;
    this.handshakes = handshakes;
    this.secure = options.tls !== undefined;
    this.tls = options.tls ?? NO_TLS;
    if (options.tls !== undefined) {
      this.ticketKeys = new TicketKeys(options.tls.ticketKeys);
      this.context = createSecureContext(options.tls.contextOptions ?? secureContextOptions);
      this.ticketKeys.apply(this.context);
      this.alpn = encodeAlpn(options.tls.alpnProtocols);
    }
    const { TCP, constants } = native.bindings.tcp;
    this.server = new TCP(constants.SERVER);
    this.server.owner = this;
    this.server.onconnection = onConnection;
    this.accepting = new Accepting(this.server, () => options.onPause?.());
  }

  async listen(): Promise<void> {
    const { host, port, reusePort, backlog } = this.options;
    const address = isIP(host) === 0 ? (await lookup(host)).address : host;
    const flags = reusePort ? (this.native.bindings.tcp.constants.UV_TCP_REUSEPORT ?? 0) : 0;
    const { server } = this;
    try {
      let status = isIP(address) === 6 ? server.bind6(address, port, flags) : server.bind(address, port, flags);
      if (status === 0) {
        this.accepting.prepare();
        status = server.listen(backlog ?? BACKLOG);
      }
      if (status !== 0) throw systemError(status, 'listen', `${host}:${port}`);
      this.accepting.begin();
      if (INHERITS_NO_DELAY) server.setNoDelay(true);
      const name: SocketName = {};
      server.getsockname(name);
      this.port = name.port ?? port;
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  get pauses(): number {
    return this.accepting.pauses;
  }

  pauseAccepting(): void {
    this.accepting.taken(lowestFree());
  }

  /** Somebody else of the process has a descriptor of that number now; infinite: wanted one, and there was none. */
  descriptorTaken(fd: number): void {
    this.accepting.taken(fd);
  }

  setTicketKeys(keys: Buffer): void {
    if (this.ticketKeys === undefined || this.context === undefined) return;
    this.ticketKeys.set(keys);
    this.ticketKeys.apply(this.context);
  }

  close(): Promise<void> {
    this.accepting.end();
    this.closing ??= new Promise((resolve) => this.server.close(resolve));
    return this.closing;
  }

  onConnection(status: number, tcp: TcpHandle): void {
    // A connection that was gone before it was accepted, or one too many for the process; the next event brings the next one.
    if (status !== 0) {
      this.refusedConnections++;
      if (isWithoutDescriptor(status)) this.accepting.taken(Number.POSITIVE_INFINITY);
      return;
    }
    if (this.connections >= this.options.maxConnections || !this.accepting.admits(tcp.fd)) {
      this.refusedConnections++;
      tcp.close();
      return;
    }
    if (!INHERITS_NO_DELAY) tcp.setNoDelay(true);
    this.connections++;
    const { preface } = this.options;
    if (preface === undefined) {
      this.begin(tcp, undefined, undefined, undefined);
      return;
    }
    const ends = ownEnds(tcp);
    const reader = preface.begin(ends.remoteAddress);
    if (reader === undefined) this.begin(tcp, ends, undefined, undefined);
    else new PrefaceReading(this, tcp, reader, ends, this.handshakes, preface.timeout).start();
  }

  /** @param ends undefined: still to be asked for @param first bytes that were read already */
  private begin(tcp: TcpHandle, ends: ConnectionEnds | undefined, first: Buffer | undefined, start: HandshakeStart | undefined): void {
    if (!this.secure) {
      this.open(new HandleConnection(this.native, tcp, undefined, true, unhandled, this), tcp, ends, this.accept, first);
      return;
    }
    if (start !== undefined) this.ticketKeys?.apply(start.secureContext, start.id);
    const handshake = new ServerHandshake(this, tcp, this.context?.context, this.alpn, ends, start);
    this.handshakes.add(handshake);
    handshake.start(first);
  }

  prefaceRead(
    tcp: TcpHandle,
    ends: ConnectionEnds,
    first: Buffer | undefined,
    accept: ((connection: Connection) => void) | undefined,
    start: HandshakeStart | undefined,
  ): void {
    if (accept === undefined) this.begin(tcp, ends, first, start);
    else this.open(new HandleConnection(this.native, tcp, undefined, true, unhandled, this), tcp, ends, accept, first);
  }

  established(handshake: ServerHandshake): void {
    this.handshakes.remove(handshake);
    const connection = new HandleConnection(this.native, handshake.tcp, handshake.secure, true, unhandled, this);
    connection.tls = handshake.info();
    this.open(connection, handshake.tcp, handshake.ends, this.accept, undefined);
  }

  failed(handshake: ServerHandshake): void {
    this.handshakes.remove(handshake);
    this.failedHandshakes++;
  }

  released(): void {
    this.connections--;
  }

  private open(
    connection: HandleConnection,
    tcp: TcpHandle,
    ends: ConnectionEnds | undefined,
    accept: (connection: Connection) => void,
    first: Buffer | undefined,
  ): void {
    if (ends !== undefined) {
      connection.remoteAddress = ends.remoteAddress;
      connection.remotePort = ends.remotePort;
      connection.proxiedTo = ends.localAddress;
      connection.localPort = ends.localPort;
    } else if (tcp.getpeername(peer) === 0) {
      // Fails when the client is gone already, which the first read will tell.
      connection.remoteAddress = plainAddress(peer.address);
      connection.remotePort = peer.port ?? 0;
    }
    connection.localPort ||= this.port;
    accept(connection);
    if (first !== undefined) connection.receive(first);
    connection.start();
  }
}

function ownEnds(tcp: TcpHandle): ConnectionEnds {
  if (tcp.getpeername(peer) !== 0) return { remoteAddress: '', remotePort: 0, localAddress: undefined, localPort: 0 };
  return { remoteAddress: plainAddress(peer.address), remotePort: peer.port ?? 0, localAddress: undefined, localPort: 0 };
}

/** Filled anew for each connection, which is faster than a new object. */
const peer: SocketName = { address: '', family: '', port: 0 };

function onConnection(this: TcpHandle, status: number, tcp: TcpHandle): void {
  (this.owner as HandleListener).onConnection(status, tcp);
}

const NO_TLS: ServerTls = {
  secureContext() {
    throw new Error('a listener without TLS has no certificates');
  },
  ticketKeys: Buffer.alloc(0),
  handshakeTimeout: 0,
  alpnProtocols: [],
};

/** A ProtocolNameList (RFC 7301 section 3.1) without its own length. */
function encodeAlpn(protocols: readonly string[]): Buffer | undefined {
  if (protocols.length === 0) return undefined;
  return Buffer.concat(protocols.map((name) => Buffer.from(String.fromCharCode(name.length) + name, 'latin1')));
}
