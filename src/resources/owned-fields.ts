/** Header fields that manifests have no say in. */
import { quote } from './fields.ts';
import type { Flaw } from './strict-object.ts';

/** Fields that the connection owns, or by which a message is framed (RFC 9110 sections 7.6.1 and 8.6, RFC 9112 section 6). */
export const CONNECTION_FIELDS = new Set(['connection', 'content-length', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade']);

export function ownedFlaw(name: string, path: readonly (string | number)[]): Flaw[] {
  if (CONNECTION_FIELDS.has(name))
    return [{ message: `${quote(name)} is the gateway's own to write`, hint: 'leave it out: the gateway frames messages itself', path }];
  return [];
}
