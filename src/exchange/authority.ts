/** The authority of a request: Host, or that of an absolute target. */
import { isIPv6 } from 'node:net';

export interface Authority {
  /** Lower-case, without a trailing dot; an IPv6 address keeps its brackets. */
  readonly host: string;
  readonly port: number | undefined;
}

const LABEL = 1;
const UPPER = 2;
/** Characters of a name: letters, digits, hyphen, underscore, tilde (RFC 3986 `unreserved` without the dot). */
const CLASSES = new Uint8Array(128);
for (const character of 'abcdefghijklmnopqrstuvwxyz0123456789-_~') CLASSES[character.charCodeAt(0)] = LABEL;
for (const character of 'ABCDEFGHIJKLMNOPQRSTUVWXYZ') CLASSES[character.charCodeAt(0)] = UPPER;

/** RFC 1035 section 2.3.4, less the root's own byte. */
const MAX_NAME = 253;
const DOT = 0x2e;
const COLON = 0x3a;

/**
 * Reads `host[:port]` (RFC 9110 section 7.2): a name, an IPv4 address or an IPv6 address in brackets. Stricter than RFC
 * 3986: percent-escapes and sub-delimiters are refused, as are empty labels, since no host has them and backends read
 * them differently; so is a name whose last label is a number and that is no IPv4 address (`127.1`), which some
 * resolvers take for one.
 *
 * @param text characters being bytes
 * @returns undefined where the request is to be refused with 400
 */
export function parseAuthority(text: string): Authority | undefined {
  if (text.charCodeAt(0) === 0x5b) return parseBracketed(text);
  const length = text.length;
  let end = length;
  let upper = false;
  let labelStart = 0;
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index);
    if (code === DOT) {
      if (index === labelStart) return undefined;
      labelStart = index + 1;
    } else if (code === COLON) {
      end = index;
      break;
    } else {
      const kind = code < 128 ? CLASSES[code] : 0;
      if (kind === UPPER) upper = true;
      else if (kind !== LABEL) return undefined;
    }
  }
  // A trailing dot leaves an empty last label; the label before it is the one that counts.
  let hostEnd = end;
  if (labelStart === end) {
    hostEnd = end - 1;
    labelStart = text.lastIndexOf('.', hostEnd - 1) + 1;
  }
  if (hostEnd <= 0 || hostEnd > MAX_NAME) return undefined;
  const port = end === length ? undefined : parsePort(text, end + 1);
  if (port === BAD_PORT) return undefined;
  let host = hostEnd === length ? text : text.slice(0, hostEnd);
  if (upper) host = host.toLowerCase();
  const lastLabelStart = text.charCodeAt(labelStart);
  if (lastLabelStart >= 0x30 && lastLabelStart <= 0x39 && endsInNumber(host, labelStart) && !isDottedQuad(host)) return undefined;
  return { host, port };
}

function parseBracketed(text: string): Authority | undefined {
  const close = text.indexOf(']');
  // Zone identifiers are meaningless to anybody but the sender (RFC 6874), and isIPv6 would take them.
  if (close < 0 || text.includes('%') || !isIPv6(text.slice(1, close))) return undefined;
  const host = text.slice(0, close + 1).toLowerCase();
  if (close + 1 === text.length) return { host, port: undefined };
  if (text.charCodeAt(close + 1) !== COLON) return undefined;
  const port = parsePort(text, close + 2);
  return port === BAD_PORT ? undefined : { host, port };
}

const BAD_PORT = -1;

/** The port from `start` to the end; undefined when it is empty, which RFC 3986 section 3.2.3 allows; BAD_PORT. */
function parsePort(text: string, start: number): number | undefined {
  if (start === text.length) return undefined;
  if (text.length - start > 5) return BAD_PORT;
  let port = 0;
  for (let index = start; index < text.length; index++) {
    const digit = text.charCodeAt(index) - 0x30;
    if (digit < 0 || digit > 9) return BAD_PORT;
    port = port * 10 + digit;
  }
  return port === 0 || port > 65535 ? BAD_PORT : port;
}

/** Whether the last label reads as a number, decimal or hexadecimal, to a resolver of the inet_aton kind. */
function endsInNumber(host: string, labelStart: number): boolean {
  return /^(?:[0-9]+|0x[0-9a-f]*)$/.test(host.slice(labelStart));
}

function isDottedQuad(host: string): boolean {
  return /^(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.|$)){4}$/.test(host) && !host.endsWith('.');
}
