import { type CallAnswer, type Caller, type CallOutcome, contextFields } from '../../exchange/calls.ts';
import type { Exchange, Reply } from '../../exchange/exchange.ts';
import type { PolicyCounter } from '../../exchange/policy-counters.ts';
import type { GrpcJson } from '../../snapshot/grpc-json.ts';
import { type Binding, readTranscoding, type Transcoding } from '../../transcoding/bindings.ts';
import { answerBody, RequestFault, requestMessage } from '../../transcoding/messages.ts';
import { elementsOf } from '../../transcoding/path-template.ts';
import { codeName, grpcCode, httpStatus, statusJson } from '../../transcoding/status.ts';
import { type Filter, type PolicyContext, Verdict } from '../policy.ts';

const MAX_REQUEST = 1024 * 1024;
/** What clients of gRPC take by default. */
const MAX_ANSWER = 4 * 1024 * 1024;

const noDescriptors: Reply = { status: 500, reason: 'descriptors_not_resolved', detail: 'The route refers to descriptors that can not be used.' };
const noMethod: Reply = { status: 404, reason: 'no_grpc_method', detail: 'No method takes this request.' };
const badRequest: Reply = { status: 400, reason: 'request_does_not_fit', detail: 'The request does not fit the method.' };
const badAnswer: Reply = { status: 502, reason: 'grpc_malformed', detail: 'The backend sent an answer that is not valid gRPC.' };

/** A request's binding with what its path says. */
interface Match {
  readonly binding: Binding;
  readonly values: ReadonlyMap<string, string>;
}

export class GrpcJsonFilter implements Filter {
  readonly policy = 'grpcJson';
  readonly maxRequestBody = MAX_REQUEST;
  readonly #spec: GrpcJson;
  readonly #transcoding: Transcoding | undefined;
  readonly #caller: Caller;
  readonly #timeout: string;
  readonly #counter: PolicyContext['counter'];
  /** Made as they are needed: a set may have a thousand methods. */
  readonly #counters = new Map<string, PolicyCounter>();

  constructor(spec: GrpcJson, { calls, counter }: PolicyContext) {
    this.#spec = spec;
    this.#counter = counter;
    this.#transcoding = spec.descriptors === undefined ? undefined : readTranscoding(Buffer.from(spec.descriptors, 'base64'), spec.services);
    this.#caller = calls.to(spec.target);
    // Eight digits at most.
    this.#timeout = `${Math.min(spec.target.timeout, 99_999_999)}m`;
  }

  describe(): string {
    const { target, services } = this.#spec;
    return `answer JSON by gRPC of ${services.join(', ')} at ${target.upstream ?? 'nowhere'}`;
  }

  onRequest(exchange: Exchange): Verdict {
    const found = this.#find(exchange);
    if ('status' in found) {
      exchange.reply = found;
      return Verdict.Answered;
    }
    return found.binding.body === '' ? this.#call(exchange, found, undefined) : Verdict.NeedsBody;
  }

  onRequestBody(exchange: Exchange, body: Buffer): Verdict {
    // It was found before.
    return this.#call(exchange, this.#find(exchange) as Match, body);
  }

  #find({ method, upstreamPath }: Exchange): Match | Reply {
    if (this.#transcoding === undefined) return noDescriptors;
    const others = new Set<string>();
    const path = elementsOf(upstreamPath);
    try {
      for (const binding of this.#transcoding.bindings) {
        const values = binding.template.match(path);
        if (values === undefined) continue;
        // HEAD runs as GET; the body is left out when it is sent (RFC 9110 section 9.3.2).
        if (binding.httpMethod === method || (binding.httpMethod === 'GET' && method === 'HEAD')) return { binding, values };
        others.add(binding.httpMethod);
      }
    } catch (error) {
      if (error instanceof URIError) return badRequest;
      throw error;
    }
    if (others.size === 0) return noMethod;
    if (others.has('GET')) others.add('HEAD');
    return { status: 405, reason: 'no_grpc_method', detail: 'No method takes this request.', fields: [['Allow', [...others].join(', ')]] };
  }

  #call(exchange: Exchange, { binding, values }: Match, body: Buffer | undefined): Verdict {
    const { registry } = this.#transcoding as Transcoding;
    let message: Buffer;
    try {
      message = requestMessage(binding, registry, values, new URLSearchParams(exchange.query), body, exchange.requestFields);
    } catch (error) {
      if (!(error instanceof RequestFault)) throw error;
      exchange.reply = badRequest;
      return Verdict.Answered;
    }
    const fields = contextFields(exchange);
    fields.remove('accept-encoding');
    for (const name of this.#spec.requestHeaders ?? []) {
      fields.remove(name);
      for (const value of exchange.requestFields.getAll(name)) fields.append(name, value);
    }
    fields.append('Content-Type', 'application/grpc');
    fields.append('grpc-timeout', this.#timeout);
    const { method } = binding;
    const path = `/${method.parent.typeName}/${method.name}`;
    const request = { name: method.name, method: 'POST', path, query: '', fields, body: message, maxAnswerBytes: MAX_ANSWER, decode: false };
    const running = this.#caller.call(exchange, request, (outcome) => {
      exchange.reply = this.#replyTo(exchange.routeId, binding, outcome);
      exchange.resume();
    });
    exchange.onAbandoned = () => running.abort();
    return Verdict.Waiting;
  }

  #replyTo(route: string, binding: Binding, outcome: CallOutcome): Reply {
    if (outcome.failure !== undefined) {
      this.#count(route, binding, 'NO_ANSWER');
      return outcome.failure;
    }
    const code = codeOf(outcome);
    const { registry } = this.#transcoding as Transcoding;
    const answer = code === 0 ? answerBody(binding, registry, outcome.body) : undefined;
    if (code === undefined || (code === 0 && answer === undefined)) {
      this.#count(route, binding, 'MALFORMED');
      return badAnswer;
    }
    this.#count(route, binding, codeName(code));
    const fields = this.#headersOf(outcome);
    if (answer !== undefined) return { status: 200, reason: 'grpc_json', fields, ...answer, ...this.#cacheability(outcome, fields) };
    const failure = statusJson(code, messageOf(outcome), detailsOf(outcome), registry);
    return { status: httpStatus(code), reason: 'grpc_status', fields, contentType: 'application/json', body: failure };
  }

  /** Metadata that the client gets. */
  #headersOf({ fields, trailers }: CallAnswer): [string, string][] {
    return (this.#spec.responseHeaders ?? []).flatMap((name) => {
      const values = fields.getAll(name);
      return (values.length === 0 ? (trailers?.getAll(name) ?? []) : values).map((value): [string, string] => [name, value]);
    });
  }

  /**
   * All that an answer depends on is in the URL, in Authorization and in the headers that go along. What metadata say that are not passed on is
   * not about it.
   * @param fields of the answer; `Vary` is added
   */
  #cacheability(answer: CallAnswer, fields: [string, string][]): Pick<Reply, 'cacheable'> {
    const { cached, requestHeaders, responseHeaders } = this.#spec;
    if (cached !== true) return {};
    if (requestHeaders !== undefined) fields.push(['vary', requestHeaders.join(', ')]);
    return answer.fields.get('cache-control') === undefined || responseHeaders?.includes('cache-control') === true ? { cacheable: true } : {};
  }

  /** @param code of gRPC's, or a word for an answer that has none */
  #count(route: string, { method }: Binding, code: string): void {
    const name = `${method.parent.typeName}/${method.name}`;
    const key = `${name} ${code}`;
    let counter = this.#counters.get(key);
    if (counter === undefined) {
      counter = this.#counter('tidegate_grpc_json_calls_total', { route, method: name, code });
      this.#counters.set(key, counter);
    }
    counter.value++;
  }
}

/** The code of grpc-status, from the trailers or, of an answer without a message, the head; undefined: there is none. */
function codeOf({ status, fields, trailers }: CallAnswer): number | undefined {
  const text = trailers?.get('grpc-status') ?? fields.get('grpc-status');
  if (text === undefined) return status === 200 ? undefined : grpcCode(status);
  return /^\d{1,3}$/.test(text) ? Number(text) : undefined;
}

function messageOf({ fields, trailers }: CallAnswer): string {
  const text = trailers?.get('grpc-message') ?? fields.get('grpc-message') ?? '';
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Metadata whose names end in -bin are base64 (gRPC over HTTP/2, "Requests"). */
function detailsOf({ fields, trailers }: CallAnswer): Uint8Array | undefined {
  const text = trailers?.get('grpc-status-details-bin') ?? fields.get('grpc-status-details-bin');
  return text === undefined ? undefined : Buffer.from(text, 'base64');
}
