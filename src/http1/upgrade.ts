/**
 * The switch to another protocol (RFC 9110 section 7.8), of which WebSocket is the only one that is tunnelled (RFC 6455
 * section 4). Whatever else a client offers is ignored, and neither sent on nor accepted from a backend: a tunnel whose
 * protocol one side takes for another is how requests pass a gateway unseen.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Upgrade } from '../exchange/exchange.ts';
import { FieldKind, maskOf } from '../exchange/field-names.ts';
import { type Fields, withoutBlanks } from '../exchange/fields.ts';
import { BAD_HANDSHAKE, type Fault } from './fault.ts';

/** Lines that ask for WebSocket, or grant it. */
export const WEBSOCKET_LINES = 'Connection: Upgrade\r\nUpgrade: websocket\r\n';

const UPGRADE_FIELD = maskOf(FieldKind.Upgrade);
/** Base64 of 16 bytes: of the last character before the padding only two bits count. */
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/;
const VERSION = '13';
/** RFC 6455 section 1.3. */
const ACCEPT_SUFFIX = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/**
 * What a request of HTTP/1.1 without a body, whose Connection names `upgrade`, is to be switched to.
 * @returns '' for one that is answered as if it had no Upgrade: it offers something else, has another method or version, or
 *   nothing of a handshake; a fault where the handshake is malformed
 */
export function requestedUpgrade(method: string, fields: Fields): Upgrade | Fault {
  if (method !== 'GET' || !namesWebSocket(fields)) return '';
  const keys = fields.getAll('sec-websocket-key');
  const versions = fields.getAll('sec-websocket-version');
  if (keys.length === 0 && versions.length === 0) return '';
  // Of several nobody can tell which one the other side takes.
  if (versions.length !== 1 || !/^\d{1,3}$/.test(versions[0] as string)) return BAD_HANDSHAKE;
  // RFC 6455 section 4.4: the backend tells which versions it has.
  if (versions[0] !== VERSION) return '';
  return keys.length === 1 && KEY.test(keys[0] as string) ? 'websocket' : BAD_HANDSHAKE;
}

/** Whether one of the protocols in Upgrade is WebSocket. */
function namesWebSocket(fields: Fields): boolean {
  if (!fields.mayHave(UPGRADE_FIELD)) return false;
  return fields.valuesOf(FieldKind.Upgrade).some((value) => value.split(',').some((name) => withoutBlanks(name, 0, name.length).toLowerCase() === 'websocket'));
}

/** Whether the fields of a 101 grant WebSocket and nothing else; what Connection says is judged elsewhere. */
export function grantsWebSocket(fields: Fields): boolean {
  return fields.single(FieldKind.Upgrade)?.toLowerCase() === 'websocket';
}

/** Whether the other side has answered the very handshake that was sent (RFC 6455 section 4.1). @param key as it was sent */
export function isAccepted(key: string | undefined, answer: Fields): boolean {
  const accepts = answer.getAll('sec-websocket-accept');
  return key !== undefined && accepts.length === 1 && accepts[0] === acceptOf(key);
}

/** A key for a handshake of our own: a client of HTTP/2 sends none (RFC 8441 section 5). */
export function newKey(): string {
  return randomBytes(16).toString('base64');
}

export function acceptOf(key: string): string {
  return createHash('sha1')
    .update(key + ACCEPT_SUFFIX)
    .digest('base64');
}
