/** What this codec makes of bytes, in the reference's terms. */
import { Deadlines } from '../../exchange/deadlines.ts';
import { Fields } from '../../exchange/fields.ts';
import type { BodyLength, ClientHandler, UpstreamFailure, UpstreamHandler } from '../../exchange/streams.ts';
import { NO_BODY } from '../../exchange/streams.ts';
import { ClientConnection } from '../client-connection.ts';
import { MemoryConnection, MemoryWire, settled } from '../memory-wire.fixture.ts';
import { ServerConnection } from '../server-connection.ts';
import { serverOptions } from '../server-options.fixture.ts';
import type { ReadMessage } from './reference.ts';

const deadlines = new Deadlines(1 << 30);

const OPTIONS = serverOptions(deadlines, { headerTimeout: 1e9, keepAliveTimeout: 1e9 });

function list(fields: Fields): string[] {
  const pairs: string[] = [];
  fields.forEach((name, value) => {
    pairs.push(name, value);
  });
  return pairs;
}

export interface OurRequest extends ReadMessage {
  /** Normalised; as routing sees it. */
  readonly path: string;
  readonly query: string;
}

/** Requests as they go on to the proxy. */
export async function readRequests(
  pieces: readonly string[],
): Promise<{ readonly seen: readonly OurRequest[]; readonly output: string; readonly ended: boolean }> {
  const seen: OurRequest[] = [];
  const connection = new MemoryConnection();
  new ServerConnection(connection, OPTIONS, {
    onExchange({ method, path, query, protocol, requestFields, stream }) {
      const read: OurRequest = { start: method, path, query, version: protocol.slice(5), fields: list(requestFields), body: '', trailers: [], complete: false };
      seen.push(read);
      const complete = () => {
        read.complete = true;
        stream.respondText(200, new Fields(), '');
      };
      const handler: ClientHandler = {
        onRequestData(bytes, start, end) {
          read.body += bytes.toString('latin1', start, end);
        },
        onRequestEnd(trailers) {
          if (trailers !== undefined) read.trailers = list(trailers);
          complete();
        },
        onRequestError() {},
        onClientGone() {},
        onClientWritable() {},
      };
      if (stream.requestEnded) complete();
      else stream.resumeRequestBody();
      return handler;
    },
    onRefused() {},
  });
  for (const piece of pieces) connection.send(piece);
  connection.sendEnd();
  await settled();
  const { received, ended } = connection;
  if (!connection.destroyed) connection.break();
  return { seen, output: received, ended };
}

export interface OurResponse {
  readonly informed: number[];
  response: ReadMessage | undefined;
  failure: UpstreamFailure | '';
  reusable: boolean;
}

/** The response as it goes on to the proxy. */
export async function readOurResponse(method: string, pieces: readonly string[]): Promise<OurResponse> {
  const wire = new MemoryWire();
  const result: OurResponse = { informed: [], response: undefined, failure: '', reusable: false };
  const client = new ClientConnection(wire, deadlines, { address: '127.0.0.1', port: 1 }, 1e9, {
    onReusable() {
      result.reusable = true;
    },
    onGone() {},
  });
  const connection = wire.connections[0] as MemoryConnection;
  connection.handler.onConnect?.();
  const handler: UpstreamHandler = {
    onInformational(status) {
      result.informed.push(status);
    },
    onResponse(status: number, fields: Fields, _length: BodyLength, first, start, end, _stable, last) {
      result.response = {
        start: String(status),
        version: '',
        fields: list(fields),
        body: first?.toString('latin1', start, end) ?? '',
        trailers: [],
        complete: last,
      };
    },
    onResponseData(bytes, start, end) {
      (result.response as ReadMessage).body += bytes.toString('latin1', start, end);
    },
    onResponseEnd(trailers) {
      const response = result.response as ReadMessage;
      if (trailers !== undefined) response.trailers = list(trailers);
      response.complete = true;
    },
    onUpstreamWritable() {},
    onUpstreamFailure(failure) {
      result.failure = failure;
    },
  };
  client.request({ method, target: '/', fields: Fields.of([['Host', 'a']]), body: NO_BODY }, handler);
  for (const piece of pieces) if (!connection.destroyed) connection.send(piece);
  if (!connection.destroyed) connection.sendEnd();
  await settled();
  if (!connection.destroyed) connection.break();
  return result;
}
