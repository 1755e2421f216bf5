/** The request that is to be explained, made as it would be from the bytes of a connection. */
import { isIP } from 'node:net';
import { Exchange } from '../exchange/exchange.ts';
import { type ClientStream, NO_BODY } from '../exchange/streams.ts';
import type { Fault } from '../http1/fault.ts';
import { Scan } from '../http1/field-scanner.ts';
import { RequestHeadParser } from '../http1/request-head.ts';
import { LISTENER } from '../snapshot/defaults.ts';

export interface ExplainInput {
  readonly method: string;
  /** `http://host/path?query`, or a path alone where a Host header is given. */
  readonly url: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly clientIp: string;
}

/** What is to be explained can't be read as a request at all; the message says what would be right. */
export class ExplainUsageError extends Error {}

export type ReadRequest =
  | { readonly exchange: Exchange; readonly fault: undefined }
  /** The gateway would refuse it, before any route is looked for. */
  | { readonly exchange: undefined; readonly fault: Fault; readonly authority: string; readonly target: string; readonly scheme: 'http' | 'https' };

/**
 * Judges the request by the same rules as a connection does. A Host header goes before the URL's host, as with curl.
 * @throws ExplainUsageError
 */
export function readRequest(input: ExplainInput): ReadRequest {
  if (!/^[!-~]+$/.test(input.method)) throw new ExplainUsageError(`"${input.method}" is no method; expected such as GET`);
  if (isIP(input.clientIp) === 0) throw new ExplainUsageError(`"${input.clientIp}" is no IP address; expected such as 192.0.2.1`);
  const hosts: string[] = [];
  const lines: string[] = [];
  for (const [name, value] of input.headers) {
    if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name)) throw new ExplainUsageError(`"${name}" is no header name; expected 'name: value'`);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused.
    if (/[\x00-\x08\x0a-\x1f\x7f]/.test(value)) throw new ExplainUsageError(`the value of header ${name} has a control character; expected one line of text`);
    if (name.toLowerCase() === 'host') hosts.push(value);
    else lines.push(`${name}: ${value}`);
  }
  // The URL is taken apart by hand: the URL class mends what the gateway refuses.
  const parsed = /^(?:(https?):\/\/([^/?#]*))?([^?#]*)(\?[^#]*)?(?:#.*)?$/is.exec(input.url);
  const scheme = parsed?.[1]?.toLowerCase() === 'https' ? 'https' : 'http';
  const path = parsed?.[3] ?? '';
  if (parsed === null || /\s/.test(input.url) || (parsed[1] === undefined && !path.startsWith('/'))) {
    throw new ExplainUsageError(`"${input.url}" is no URL; expected such as http://shop.example.com/orders?new=1`);
  }
  if (hosts.length === 0) {
    if (parsed[1] === undefined) throw new ExplainUsageError('a URL without a host needs a Host header');
    hosts.push(parsed[2] as string);
  }
  const authority = hosts.join(', ');
  // Characters beyond ASCII travel as the bytes of their UTF-8 form; in a target they are escaped, as browsers do.
  const target = `${path === '' ? '/' : path}${parsed[4] ?? ''}`.toWellFormed().replace(/[^!-~]+/g, encodeURIComponent);
  const headText = [`${input.method} ${target} HTTP/1.1`, ...hosts.map((host) => `Host: ${host}`), ...lines, '', ''].join('\r\n');
  const bytes = Buffer.from(headText, 'utf8');
  const parser = new RequestHeadParser(LISTENER, scheme);
  parser.begin();
  const head = parser.parse(bytes, 0, bytes.length) === Scan.Done ? parser.finish(bytes, 0) : undefined;
  if (head === undefined) return { exchange: undefined, fault: parser.fault, authority, target, scheme };
  const peer = { remoteAddress: input.clientIp, remotePort: 0, localPort: scheme === 'https' ? 443 : 80, tls: undefined };
  return { exchange: new Exchange(head, new UnconnectedStream(), peer, 0), fault: undefined };
}

/** The client's side of a request that nobody waits for. Filters may set limits on it; nothing is ever read or written. */
class UnconnectedStream implements ClientStream {
  readonly requestBody = NO_BODY;
  readonly requestEnded = true;
  readonly responded = false;
  resumeRequestBody(): void {}
  pauseRequestBody(): void {}
  setBodyLimit(): void {}
  respond(): boolean {
    return true;
  }
  respondText(): void {}
  writeBody(): boolean {
    return true;
  }
  endBody(): void {}
  inform(): void {}
  abort(): void {}
}
