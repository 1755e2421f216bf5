/**
 * The part of Node's internals that the handle implementation stands on, with types. `process.binding` is how Node itself
 * lets go of them to the outside; nothing here is public, so nothing is used before the self-check has passed.
 */

/** What a handle calls when bytes came in; may return the buffer for the next read. */
export type OnRead = (this: StreamHandle) => Buffer | undefined;

export interface StreamHandle {
  /** Ours: whose handle it is. */
  owner: unknown;
  onread: OnRead;
  readonly writeQueueSize: number;
  readStart(): number;
  readStop(): number;
  /** Reads go to this buffer, until `onread` returns another one. Each call costs a listener that lives as long as the handle. */
  useUserBuffer(buffer: Buffer): void;
  writeLatin1String(request: WriteRequest, text: string): number;
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
  /** Chunks, each followed by its encoding. */
  writev(request: WriteRequest, chunksAndEncodings: (string | Uint8Array)[], allBuffers: false): number;
  shutdown(request: ShutdownRequest): number;
}

export interface TcpHandle extends StreamHandle {
  readonly fd: number;
  onconnection: (this: TcpHandle, status: number, handle: TcpHandle) => void;
  bind(address: string, port: number, flags: number): number;
  bind6(address: string, port: number, flags: number): number;
  /** Takes that descriptor for its own, which may be the one that it has. */
  open(descriptor: number): number;
  listen(backlog: number): number;
  connect(request: ConnectRequest, address: string, port: number): number;
  connect6(request: ConnectRequest, address: string, port: number): number;
  getpeername(out: SocketName): number;
  getsockname(out: SocketName): number;
  setNoDelay(on: boolean): number;
  close(closed?: (this: TcpHandle) => void): void;
  reset(closed?: (this: TcpHandle) => void): number;
}

export interface TlsHandle extends StreamHandle {
  /** Read by the native side when the certificate callback is done. */
  sni_context: unknown;
  oncertcb: (this: TlsHandle, hello: { readonly servername: string }) => void;
  onhandshakestart: (this: TlsHandle) => void;
  onhandshakedone: (this: TlsHandle) => void;
  onerror: (this: TlsHandle, error: Error) => void;
  enableCertCb(): void;
  certCbDone(): void;
  setALPNProtocols(list: Buffer): void;
  getServername(): string | false;
  getALPNNegotiatedProtocol(): string | false;
  getProtocol(): string;
  getSharedSigalgs(): readonly string[];
  isSessionReused(): boolean;
  /** Servers: whether the client is asked for a certificate, and whether the handshake fails without one. */
  setVerifyMode(request: boolean, require: boolean): void;
  verifyError(): NodeJS.ErrnoException | null | undefined;
  getPeerCertificate(detailed: boolean): { readonly raw?: Buffer } | undefined;
  destroySSL(): void;
  /** Takes bytes that were read from the TCP handle before TLS was put on it. Copies them. */
  receive(bytes: Uint8Array): void;
}

export interface SocketName {
  address?: string;
  family?: string;
  port?: number;
}

/** Whose write it is. */
export interface Writer {
  /** @param status 0, or a negative error */
  written(status: number, kept: readonly Buffer[] | undefined): void;
}

export interface WriteRequest {
  owner: Writer | undefined;
  /** `oncomplete` has been called. */
  done: boolean;
  /** Buffers that must live until the write is done. */
  kept: readonly Buffer[] | undefined;
  /** Undefined: nobody is told. */
  oncomplete: ((this: WriteRequest, status: number) => void) | undefined;
  /** Below zero where no write is under way with it: its native half is gone. */
  getAsyncId(): number;
}

export interface ShutdownRequest {
  owner: unknown;
  oncomplete: (this: ShutdownRequest) => void;
}

export interface ConnectRequest {
  owner: unknown;
  oncomplete: (this: ConnectRequest, status: number) => void;
}

export interface Bindings {
  readonly tcp: {
    readonly TCP: new (type: number) => TcpHandle;
    readonly TCPConnectWrap: new () => ConnectRequest;
    readonly constants: { readonly SOCKET: number; readonly SERVER: number; readonly UV_TCP_REUSEPORT?: number };
  };
  readonly stream: {
    readonly WriteWrap: new () => WriteRequest;
    readonly ShutdownWrap: new () => ShutdownRequest;
    readonly streamBaseState: Int32Array;
    readonly kReadBytesOrError: number;
    readonly kLastWriteWasAsync: number;
  };
  readonly tls: {
    wrap(handle: TcpHandle, context: unknown, isServer: boolean, hasActiveWrite: boolean): TlsHandle;
  };
  readonly uv: { readonly UV_EOF: number };
}

/**
 * Majors of Node whose internals this was written and run against. Arguments that these functions do not expect abort the
 * whole process, so the self-check can't be left to find that out elsewhere.
 */
export const VERIFIED_MAJORS: readonly number[] = [24, 26];

type Binding = (name: string) => Record<string, unknown>;

/** @throws an Error that names what is missing */
export function loadBindings(): Bindings {
  const major = Number.parseInt(process.versions.node, 10);
  if (!VERIFIED_MAJORS.includes(major)) throw new Error(`Node ${major} has not been verified; verified are ${VERIFIED_MAJORS.join(' and ')}`);
  const { binding } = process as unknown as { binding?: Binding };
  if (typeof binding !== 'function') throw new Error('process.binding is missing');
  const bindings = quietly(() => ({ tcp: binding('tcp_wrap'), stream: binding('stream_wrap'), tls: binding('tls_wrap'), uv: binding('uv') }));
  const needed: readonly (readonly [Record<string, unknown>, string, string])[] = [
    [bindings.tcp, 'TCP', 'function'],
    [bindings.tcp, 'TCPConnectWrap', 'function'],
    [bindings.tcp, 'constants', 'object'],
    [bindings.stream, 'WriteWrap', 'function'],
    [bindings.stream, 'ShutdownWrap', 'function'],
    [bindings.stream, 'streamBaseState', 'object'],
    [bindings.stream, 'kReadBytesOrError', 'number'],
    [bindings.stream, 'kLastWriteWasAsync', 'number'],
    [bindings.tls, 'wrap', 'function'],
    [bindings.uv, 'UV_EOF', 'number'],
  ];
  for (const [binding, name, type] of needed) {
    if (typeof binding[name] !== type) throw new Error(`${name} is missing among Node's internals`);
  }
  return bindings as unknown as Bindings;
}

/** `process.binding` warns of its own deprecation (DEP0111), which is not the operator's to act on. */
function quietly<T>(run: () => T): T {
  const before = process.noDeprecation;
  process.noDeprecation = true;
  try {
    return run();
  } finally {
    if (before === undefined) delete process.noDeprecation;
    else process.noDeprecation = before;
  }
}
