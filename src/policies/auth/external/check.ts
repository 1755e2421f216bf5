/** What both protocols of external authorization have in common. */
import type { CallAnswer, CallRequest } from '../../../exchange/calls.ts';
import type { Exchange, Reply } from '../../../exchange/exchange.ts';
import { FieldKind, HOP_BY_HOP, kindOfName, maskOf } from '../../../exchange/field-names.ts';
import type { Fields } from '../../../exchange/fields.ts';
import type { HeaderChange } from './check-response.ts';

/** Of an answer's body: all of it may have to be kept until the client has it. */
export const MAX_ANSWER_BYTES = 1024 * 1024;

/** What a request that may pass is changed by. */
export interface Changes {
  /** Headers on their way to the backend. */
  readonly request: readonly HeaderChange[];
  readonly requestRemovals: readonly string[];
  /** Headers of the answer to the client. */
  readonly response: readonly HeaderChange[];
  /** Parameters of the query on its way to the backend. */
  readonly query: readonly (readonly [name: string, value: string])[];
  readonly queryRemovals: readonly string[];
}

export const NO_CHANGES: Changes = { request: [], requestRemovals: [], response: [], query: [], queryRemovals: [] };

export type CheckOutcome =
  | { readonly allowed: true; readonly changes: Changes }
  /** What the client is to get. */
  | { readonly allowed: false; readonly status: number; readonly fields: NonNullable<Reply['fields']>; readonly body: Buffer };

/** One of the protocols. */
export interface CheckProtocol {
  /** What the service is asked about the request. */
  request(exchange: Exchange): CallRequest;
  /** @returns undefined where that is no answer to the question */
  read(answer: CallAnswer): CheckOutcome | undefined;
  /**
   * Of what is no answer: whether it tells of trouble of the service's own. What it says of the request, or can't be read though the service has
   * decided, may be what the client has brought about: that opens nothing.
   */
  isTrouble(answer: CallAnswer): boolean;
}

/** Fields that belong to a message, its framing, its connection or its target: whoever is asked has no say in those. */
const OF_MESSAGES = HOP_BY_HOP | maskOf(FieldKind.Host, FieldKind.ContentLength, FieldKind.Expect, FieldKind.Date, FieldKind.XRequestId);

/** Whether a service may neither set nor remove it. */
export function isMessageField(name: string): boolean {
  return (OF_MESSAGES & (1 << kindOfName(name))) !== 0;
}

/** @param changes of which those that are not the service's to make are passed over */
export function applyHeaders(fields: Fields, changes: readonly HeaderChange[]): void {
  for (const { name, value, action } of changes) {
    if (isMessageField(name)) continue;
    if (action === 'Add') fields.append(name, value);
    else if (action === 'Set' || fields.has(name) === (action === 'OverwriteIfPresent')) fields.set(name, value);
  }
}
