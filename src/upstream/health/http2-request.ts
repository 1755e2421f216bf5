/** One request on an HTTP/2 connection of its own: checks are few, and a connection that comes about is a part of health. */
import { connect, type IncomingHttpHeaders, type IncomingHttpStatusHeader, type OutgoingHttpHeaders } from 'node:http2';
import { dial } from './dial.ts';
import { authorityOf, type ProbeTarget, USER_AGENT } from './probe.ts';

/** More than any answer to a check has. */
const MAX_BODY = 16 * 1024;

export interface Http2Answer {
  readonly headers: IncomingHttpHeaders & IncomingHttpStatusHeader;
  readonly body: Buffer;
  readonly trailers: IncomingHttpHeaders;
}

/**
 * @param headers without scheme, authority and user agent
 * @param body what is sent; undefined: nothing
 * @throws (rejects) Error when there is no answer, none to its end, or one that is too long
 */
export function requestOverHttp2(target: ProbeTarget, headers: OutgoingHttpHeaders, body: Buffer | undefined, signal: AbortSignal): Promise<Http2Answer> {
  const scheme = target.tls === undefined ? 'http' : 'https';
  const session = connect(`${scheme}://${authorityOf(target)}`, { createConnection: () => dial(target, ['h2']) });
  return new Promise<Http2Answer>((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    session.on('error', reject);
    session.on('close', () => reject(new Error('closed without an answer')));
    const stream = session.request(
      { ...headers, ':scheme': scheme, ':authority': authorityOf(target), 'user-agent': USER_AGENT },
      { endStream: body === undefined },
    );
    const chunks: Buffer[] = [];
    let size = 0;
    let answered: Http2Answer['headers'] = {};
    let trailers: IncomingHttpHeaders = {};
    stream.on('response', (fields) => {
      answered = fields;
    });
    stream.on('trailers', (fields) => {
      trailers = fields;
    });
    stream.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > MAX_BODY) reject(new Error('the answer is too long'));
      else chunks.push(chunk);
    });
    stream.on('end', () => resolve({ headers: answered, body: Buffer.concat(chunks), trailers }));
    // Where the connection failed, that is the cause.
    stream.on('error', (error) => reject(error.cause ?? error));
    if (body !== undefined) stream.end(body);
  }).finally(() => session.destroy());
}
