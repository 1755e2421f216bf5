/** A server of unary gRPC methods without TLS, which knows the services of a descriptor set. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo, Server } from 'node:net';
import { type FileRegistry, fromBinary, fromJson, type JsonValue, toBinary, toJson } from '@bufbuild/protobuf';
import { type Binding, readTranscoding } from '../../src/transcoding/bindings.ts';
import { endWith, type Lifetime } from './lifetime.ts';

export interface GrpcCall {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** JSON. */
  readonly message: JsonValue;
}

/** @param answer sends one message, as JSON, and status 0, with metadata before and behind it */
export type GrpcResponder = (stream: ServerHttp2Stream, call: GrpcCall, answer: (json: JsonValue, head?: Metadata, trailers?: Metadata) => void) => void;

export type Metadata = Readonly<Record<string, string | string[]>>;

/** Answers with what it was asked. */
export const echo: GrpcResponder = (_stream, { message }, answer) => answer(message);

/** Answers with a failure alone. @param details of grpc-status-details-bin */
export function failing(code: number, message: string, details?: Uint8Array): GrpcResponder {
  return (stream) => {
    const fields = { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': String(code), 'grpc-message': message };
    const binary = details === undefined ? {} : { 'grpc-status-details-bin': Buffer.from(details).toString('base64').replaceAll('=', '') };
    stream.respond({ ...fields, ...binary }, { endStream: true });
  };
}

async function onLoopback(server: Server): Promise<void> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
}

export class GrpcBackend {
  readonly calls: GrpcCall[] = [];
  respond: GrpcResponder = echo;
  readonly #server: Http2Server = createServer();
  readonly #methods: ReadonlyMap<string, Binding['method']>;
  readonly #registry: FileRegistry;

  private constructor(descriptors: Uint8Array, services: readonly string[]) {
    const { bindings, registry } = readTranscoding(descriptors, services);
    this.#methods = new Map(bindings.map(({ method }) => [`/${method.parent.typeName}/${method.name}`, method]));
    this.#registry = registry;
  }

  /** @param listen opens its port; absent: any on loopback */
  static async start(lifetime: Lifetime, descriptors: Uint8Array, services: readonly string[], listen = onLoopback): Promise<GrpcBackend> {
    const backend = new GrpcBackend(descriptors, services);
    const server = backend.#server;
    const sessions = new Set<{ destroy(): void }>();
    server.on('session', (session) => sessions.add(session));
    server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => backend.#serve(stream, headers));
    await listen(server);
    endWith(lifetime, () => {
      for (const session of sessions) session.destroy();
      server.close();
    });
    return backend;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  #serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const chunks: Buffer[] = [];
    stream.on('error', () => {});
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      const path = String(headers[':path']);
      const method = this.#methods.get(path);
      assert.ok(method, path);
      const registry = this.#registry;
      const message = toJson(method.input, fromBinary(method.input, Buffer.concat(chunks).subarray(5)), { registry });
      const call = { path, headers, message };
      this.calls.push(call);
      this.respond(stream, call, (json, more = {}, trailers = {}) => {
        const answer = toBinary(method.output, fromJson(method.output, json, { registry, ignoreUnknownFields: true }));
        const head = Buffer.alloc(5);
        head.writeUInt32BE(answer.length, 1);
        stream.respond({ ':status': 200, 'content-type': 'application/grpc', ...more }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', ...trailers }));
        stream.end(Buffer.concat([head, answer]));
      });
    });
  }
}
