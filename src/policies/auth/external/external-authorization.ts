/** externalAuthorization: a service says of each request whether it may pass. What it does not answer is refused, unless the policy says otherwise. */
import type { Caller, CallOutcome } from '../../../exchange/calls.ts';
import type { Exchange, Reply } from '../../../exchange/exchange.ts';
import type { Fields } from '../../../exchange/fields.ts';
import { withoutParameter, withParameter } from '../../../exchange/query.ts';
import type { ExternalAuthorization } from '../../../snapshot/external-authorization.ts';
import { onDemand } from '../../on-demand.ts';
import { FilterSlot, keepState, type PolicyContext } from '../../policy.ts';
import { type AuthCheck, Pending, Refusal } from '../method.ts';
import { applyHeaders, type Changes, type CheckOutcome, type CheckProtocol, isMessageField } from './check.ts';
import type { HeaderChange } from './check-response.ts';
import { HttpCheck } from './http-check.ts';

const grpc = onDemand<typeof import('./grpc-check.ts')>(import.meta.url, './grpc-check');

const DENIED = 'ext_authz_denied';
const TIMED_OUT = 504;

function failure(reason: string): Refusal {
  return new Refusal({ status: 503, reason, detail: 'Whether this is allowed can not be found out at present.', fields: [['Retry-After', '1']] });
}

const LATE = failure('ext_authz_timeout');
const FAILED = failure('ext_authz_failed');
const NO_ANSWER = failure('ext_authz_bad_answer');

export class ExternalAuthorizationCheck implements AuthCheck {
  readonly name = 'externalAuthorization';
  readonly #spec: ExternalAuthorization;
  readonly #caller: Caller;
  readonly #protocol: CheckProtocol;

  constructor(spec: ExternalAuthorization, { calls }: PolicyContext) {
    this.#spec = spec;
    const { upstream, timeout } = spec;
    this.#caller = calls.to({ ...(upstream === undefined ? {} : { upstream }), timeout });
    this.#protocol = spec.protocol === 'GRPC' ? new (grpc().GrpcCheck)(spec) : new HttpCheck(spec);
  }

  describe(): string {
    const { protocol, target, timeout, failOpen } = this.#spec;
    return `externalAuthorization by ${target} (${protocol}, ${timeout} ms), when it fails: ${failOpen ? 'pass' : '503'}`;
  }

  check(exchange: Exchange): Pending<Refusal | undefined> {
    const pending = new Pending<Refusal | undefined>();
    const running = this.#caller.call(exchange, this.#protocol.request(exchange), (outcome) => pending.settle(this.#judge(exchange, outcome)));
    pending.onAbandoned = () => running.abort();
    return pending;
  }

  onResponse(exchange: Exchange, _status: number, fields: Fields): void {
    const changes = exchange.filterState?.[FilterSlot.externalAuthorization] as readonly HeaderChange[] | undefined;
    if (changes !== undefined) applyHeaders(fields, changes);
  }

  #judge(exchange: Exchange, outcome: CallOutcome): Refusal | undefined {
    // Whatever comes of it: these are the service's to say, never the client's.
    const { headersToBackend } = this.#spec;
    for (const name of headersToBackend) if (!isMessageField(name)) exchange.requestFields.remove(name);
    if (headersToBackend.length > 0) exchange.ownFields = [...(exchange.ownFields ?? []), ...headersToBackend];
    if (outcome.failure !== undefined) {
      const refusal = outcome.failure.status === TIMED_OUT ? LATE : FAILED;
      return saysNo(outcome.status) ? refusal : this.#fail(refusal);
    }
    const answer = this.#protocol.read(outcome);
    if (answer === undefined) return this.#protocol.isTrouble(outcome) ? this.#fail(NO_ANSWER) : NO_ANSWER;
    if (!answer.allowed) return denial(exchange, answer);
    applyChanges(exchange, answer.changes);
    return undefined;
  }

  #fail(refusal: Refusal): Refusal | undefined {
    return this.#spec.failOpen ? undefined : refusal;
  }
}

/** Whether what came of an answer says neither yes nor that the service is in trouble. @param status 0: nothing came */
function saysNo(status: number): boolean {
  return status >= 300 && status < 500;
}

/** What the service has for the client. */
function denial({ isGrpc }: Exchange, { status, fields, body }: CheckOutcome & { readonly allowed: false }): Refusal {
  const reply: Reply = { status, reason: DENIED, fields };
  // A gRPC client reads a status of gRPC, and no body of HTTP; who gets no other body is told in ours.
  if (isGrpc) return new Refusal({ ...reply, fields: fields.filter(([name]) => name.toLowerCase() !== 'content-type'), detail: NOT_ALLOWED });
  return new Refusal(body.length > 0 || status < 400 ? { ...reply, body } : { ...reply, detail: NOT_ALLOWED });
}

const NOT_ALLOWED = 'This is not allowed.';

function applyChanges(exchange: Exchange, { request, requestRemovals, response, query, queryRemovals }: Changes): void {
  const { requestFields } = exchange;
  for (const name of requestRemovals) if (!isMessageField(name)) requestFields.remove(name);
  applyHeaders(requestFields, request);
  for (const name of queryRemovals) exchange.upstreamQuery = withoutParameter(exchange.upstreamQuery, name);
  for (const [name, value] of query) exchange.upstreamQuery = withParameter(withoutParameter(exchange.upstreamQuery, name), name, value);
  if (response.length === 0) return;
  keepState(exchange, FilterSlot.externalAuthorization, response);
}
