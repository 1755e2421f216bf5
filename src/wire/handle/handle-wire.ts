import { type LookupAddress, lookup } from 'node:dns';
import { isIP } from 'node:net';
import { Deadlines } from '../../exchange/deadlines.ts';
import type { Connection, ConnectOptions, ListenOptions, Wire, WireListener } from '../wire.ts';
import type { ConnectRequest, SocketName, TcpHandle } from './bindings.ts';
import { HandleConnection } from './handle-connection.ts';
import { HandleListener } from './handle-listener.ts';
import { Native } from './native.ts';
import { systemError } from './system-error.ts';

/** How late a handshake's time-out may be noticed, in milliseconds. */
const HANDSHAKE_TICK = 100;

/** Sockets on their handles. */
export class HandleWire implements Wire {
  readonly name = 'handle';
  private readonly native = new Native();
  private readonly handshakes = new Deadlines(HANDSHAKE_TICK);

  async listen(options: ListenOptions, accept: (connection: Connection) => void): Promise<WireListener> {
    const listener = new HandleListener(this.native, options, accept, this.handshakes);
    await listener.listen();
    return listener;
  }

  connect({ host, port, handler }: ConnectOptions): Connection {
    const { TCP, constants } = this.native.bindings.tcp;
    const tcp = new TCP(constants.SOCKET);
    const connection = new HandleConnection(this.native, tcp, undefined, false, handler, undefined);
    connection.remoteAddress = host;
    connection.remotePort = port;
    new Connecting(this.native, connection, tcp, port).start(host);
    return connection;
  }
}

/** The way to an outgoing connection: the addresses of a name one after the other, until one answers. */
class Connecting {
  private readonly native: Native;
  private readonly connection: HandleConnection;
  private readonly port: number;
  private tcp: TcpHandle;
  private addresses: readonly LookupAddress[] = [];
  private next = 0;

  constructor(native: Native, connection: HandleConnection, tcp: TcpHandle, port: number) {
    this.native = native;
    this.connection = connection;
    this.tcp = tcp;
    this.port = port;
  }

  start(host: string): void {
    const family = isIP(host);
    if (family !== 0) {
      this.addresses = [{ address: host, family }];
      this.attempt();
      return;
    }
    lookup(host, { all: true }, (error, addresses) => {
      if (this.connection.gone) return;
      if (error !== null) {
        this.connection.fail(error);
        return;
      }
      this.addresses = addresses;
      this.attempt();
    });
  }

  /** Called when the kernel has answered. */
  answered(status: number): void {
    // Destroyed meanwhile.
    if (this.connection.gone) return;
    if (status !== 0) {
      this.refused(status);
      return;
    }
    this.tcp.setNoDelay(true);
    const name: SocketName = {};
    this.tcp.getsockname(name);
    this.connection.localPort = name.port ?? 0;
    this.connection.connected();
  }

  private attempt(): void {
    const { connection, tcp, port } = this;
    const target = this.addresses[this.next++];
    if (target === undefined) {
      connection.fail(new Error('the name has no address'));
      return;
    }
    connection.remoteAddress = target.address;
    const request = new this.native.bindings.tcp.TCPConnectWrap();
    request.owner = this;
    request.oncomplete = onAnswered;
    const status = target.family === 6 ? tcp.connect6(request, target.address, port) : tcp.connect(request, target.address, port);
    if (status !== 0) this.refused(status);
  }

  private refused(status: number): void {
    const { connection } = this;
    if (this.next >= this.addresses.length) {
      connection.fail(systemError(status, 'connect', `${connection.remoteAddress}:${this.port}`));
      return;
    }
    const { TCP, constants } = this.native.bindings.tcp;
    this.tcp = new TCP(constants.SOCKET);
    connection.retry(this.tcp);
    this.attempt();
  }
}

function onAnswered(this: ConnectRequest, status: number): void {
  (this.owner as Connecting).answered(status);
}
