import type { Timed } from '../../exchange/deadlines.ts';
import { ClientCertificate } from '../client-certificate.ts';
import type { HandshakeStart, ServerTls, TlsInfo } from '../wire.ts';
import type { StreamHandle, TcpHandle, TlsHandle } from './bindings.ts';
import type { Native } from './native.ts';

/** Whose connection it is. */
export interface ConnectionEnds {
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** What a PROXY header says; undefined: ask the handle. */
  readonly localAddress: string | undefined;
  /** The same; 0: the listener's. */
  readonly localPort: number;
}

/** Who started a handshake, and hears how it went; the listener. */
export interface HandshakeOwner {
  readonly native: Native;
  readonly tls: ServerTls;
  /** The handshake is done; makes the connection, to which what comes next is given. */
  established(handshake: ServerHandshake): void;
  /** The handshake failed; its handle is closing. */
  failed(handshake: ServerHandshake): void;
  /** The handle of a failed handshake is closed. */
  released(): void;
}

/** Handshakes that are done while OpenSSL is still on the stack; they go on with their first bytes, or at the end of the loop's turn. */
let done: ServerHandshake[] = [];

function establishAll(): void {
  const handshakes = done;
  done = [];
  for (const handshake of handshakes) handshake.establish();
}

/** The server's side of a TLS handshake on an accepted TCP handle. */
export class ServerHandshake implements Timed {
  deadline: number;
  deadlineIndex = -1;
  readonly tcp: TcpHandle;
  readonly secure: TlsHandle;
  private readonly owner: HandshakeOwner;
  private state: 'running' | 'done' | 'over' = 'running';

  /** Of the `HandshakeStart`, where there is one. */
  private readonly validation: string | undefined;
  /** Whose connection it is, where a preface was read before. */
  readonly ends: ConnectionEnds | undefined;

  /**
   * @param context what the handshake starts with: versions, suites and ticket keys, no certificate
   * @param ends undefined: the handle's own
   * @param start takes the context's place, and asks for a certificate
   */
  constructor(
    owner: HandshakeOwner,
    tcp: TcpHandle,
    context: unknown,
    alpn: Buffer | undefined,
    ends: ConnectionEnds | undefined,
    start: HandshakeStart | undefined,
  ) {
    const { native, tls } = owner;
    this.owner = owner;
    this.tcp = tcp;
    this.ends = ends;
    this.deadline = performance.now() + tls.handshakeTimeout;
    const secure = native.bindings.tls.wrap(tcp, start === undefined ? context : start.secureContext.context, true, false);
    this.secure = secure;
    this.validation = start?.id;
    tcp.owner = this;
    secure.owner = this;
    secure.onread = onRead;
    secure.oncertcb = onCertificateWanted;
    secure.onhandshakedone = onHandshakeDone;
    secure.onerror = onError;
    if (start === undefined) {
      secure.sni_context = context;
      secure.enableCertCb();
    } else {
      // Everything is known: no other context takes its place on the way.
      secure.setVerifyMode(true, false);
    }
    if (alpn !== undefined) secure.setALPNProtocols(alpn);
    secure.useUserBuffer(native.buffers.shared);
  }

  /** @param first bytes that were read from the TCP handle already */
  start(first?: Buffer): void {
    if (first !== undefined) this.secure.receive(first);
    if (this.state === 'running' && this.secure.readStart() !== 0) this.fail();
  }

  /** What was agreed upon. */
  info(): TlsInfo {
    const { secure } = this;
    return {
      version: secure.getProtocol(),
      serverName: secure.getServername() || '',
      resumed: secure.isSessionReused(),
      alpn: secure.getALPNNegotiatedProtocol() || '',
      ...(this.validation === undefined ? {} : { clientCertificate: this.clientCertificate(this.validation) }),
    };
  }

  private clientCertificate(validation: string): ClientCertificate {
    const { secure } = this;
    const error = secure.verifyError();
    return new ClientCertificate(validation, secure.getPeerCertificate(false)?.raw, error ? (error.code ?? error.message) : undefined);
  }

  chooseCertificate(serverName: string): void {
    if (this.state !== 'running') return;
    try {
      this.secure.sni_context = this.owner.tls.secureContext(serverName, this.secure).context;
      this.secure.certCbDone();
    } catch {
      this.fail();
    }
  }

  completed(): void {
    if (this.state !== 'running') return;
    this.state = 'done';
    if (done.push(this) === 1) setImmediate(establishAll);
  }

  /** Passes the handles on to a connection. */
  establish(): void {
    if (this.state !== 'done') return;
    this.state = 'over';
    this.secure.onhandshakestart = onRenegotiation;
    this.owner.established(this);
  }

  read(): Buffer | undefined {
    if (this.state === 'running') {
      // Only the end, or an error, can come before the handshake is done.
      if ((this.owner.native.state[this.owner.native.readBytes] as number) < 0) this.fail();
      return undefined;
    }
    this.establish();
    return this.secure.onread === onRead ? undefined : this.secure.onread.call(this.secure);
  }

  /** Breaks off. */
  fail(): void {
    if (this.state === 'over') return;
    this.state = 'over';
    this.tcp.close(onClosed);
    this.owner.failed(this);
  }

  onDeadline(): void {
    this.fail();
  }

  closed(): void {
    this.secure.destroySSL();
    this.owner.released();
  }
}

function onRead(this: StreamHandle): Buffer | undefined {
  return (this.owner as ServerHandshake).read();
}

function onCertificateWanted(this: TlsHandle, hello: { readonly servername: string }): void {
  (this.owner as ServerHandshake).chooseCertificate(hello.servername);
}

function onHandshakeDone(this: TlsHandle): void {
  const { owner } = this;
  if (owner instanceof ServerHandshake) owner.completed();
}

/** A handshake that begins on an open connection (RFC 5246 section 7.4.1.1). OpenSSL 3 would refuse it, but go on serving who tries. */
function onRenegotiation(this: TlsHandle): void {
  (this.owner as Failing).fail(new Error('the client tried to renegotiate TLS'));
}

interface Failing {
  fail(error: Error): void;
}

function onError(this: TlsHandle, error: Error): void {
  (this.owner as Failing).fail(error);
}

function onClosed(this: TcpHandle): void {
  (this.owner as ServerHandshake).closed();
}
