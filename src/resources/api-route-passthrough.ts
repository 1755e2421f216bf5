/** What an ApiRoute with `tls.mode: Passthrough` may say. */
import { isDeepStrictEqual } from 'node:util';
import type { Flaw } from './strict-object.ts';

/** What is looked at of an ApiRoute's spec. */
export interface PassthroughSpec {
  readonly hostnames: readonly string[];
  readonly tls?: { readonly secretName?: string; readonly redirect: boolean; readonly clientValidation?: unknown };
  readonly priority?: unknown;
  readonly rules: readonly {
    readonly matches: readonly object[];
    readonly filters: object;
    readonly timeouts: { readonly request?: number; readonly backendRequest?: number };
    readonly backendRefs: readonly { readonly filters: object }[];
  }[];
}

/** What a rule of a passthrough route may have. */
const PASSTHROUGH_RULE_FIELDS = new Set(['name', 'matches', 'filters', 'timeouts', 'backendRefs']);
const UNSEEN = 'with tls.mode Passthrough the gateway sees no requests';

/** What means something only where requests are seen has no place where TLS is passed through. @param matchAll the match of a rule that is given none */
export function passthroughFlaws({ hostnames, tls, rules, priority }: PassthroughSpec, matchAll: object): Flaw[] {
  const found: Flaw[] = [];
  const add = (path: readonly (string | number)[], message: string, hint: string): void => void found.push({ message, hint, path });
  if (hostnames.length === 0) add(['hostnames'], 'tls.mode Passthrough needs hostnames: connections are told apart by the server name alone', 'write them');
  if (tls?.secretName !== undefined) add(['tls', 'secretName'], "with tls.mode Passthrough the certificate is the backend's", 'leave secretName out');
  if (tls?.redirect === true) {
    add(['tls', 'redirect'], `${UNSEEN}, and serves nothing on the plain port`, 'leave it out; another ApiRoute that matches scheme: http may redirect');
  }
  if (tls?.clientValidation !== undefined) {
    add(['tls', 'clientValidation'], 'with tls.mode Passthrough it is the backend that asks for client certificates', 'leave clientValidation out');
  }
  if (priority !== undefined) add(['priority'], `${UNSEEN}, so priority means nothing`, 'leave priority out');
  if (rules.length > 1) add(['rules', 1], `${UNSEEN}, so nothing could choose between rules`, 'write one rule');
  for (const [index, rule] of rules.entries()) {
    const path = ['rules', index];
    if (!isDeepStrictEqual(rule.matches, [matchAll])) add([...path, 'matches'], `${UNSEEN}, so nothing can be matched`, 'leave matches out');
    if (Object.keys(rule.filters).length > 0) add([...path, 'filters'], `${UNSEEN}, so nothing can be filtered`, 'leave filters out');
    for (const field of Object.keys(rule)) {
      if (!PASSTHROUGH_RULE_FIELDS.has(field)) add([...path, field], `${UNSEEN}, so ${field} means nothing`, `leave ${field} out`);
    }
    for (const field of ['request', 'backendRequest'] as const) {
      if (rule.timeouts[field] !== undefined) add([...path, 'timeouts', field], `${UNSEEN}, so ${field} means nothing`, 'use idle');
    }
    if (rule.backendRefs.length === 0) add([...path, 'backendRefs'], 'tls.mode Passthrough needs a backend', 'write backendRefs');
    for (const [place, { filters }] of rule.backendRefs.entries()) {
      if (Object.keys(filters).length > 0) add([...path, 'backendRefs', place, 'filters'], `${UNSEEN}, so nothing can be filtered`, 'leave filters out');
    }
  }
  return found;
}
