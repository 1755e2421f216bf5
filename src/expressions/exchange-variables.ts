/**
 * The variables of expressions for an exchange. Nothing is made before it is asked for: a condition on the method reads no headers.
 */
import type { Exchange } from '../exchange/exchange.ts';
import type { Fields } from '../exchange/fields.ts';
import { type RecordType, requestHead, wholeRequest, wholeResponse } from './environments.ts';
import { ExpressionError } from './expression-error.ts';
import { ExpressionRecord, LazyMap } from './values.ts';

function recordType(variables: ReadonlyMap<string, unknown>, name: string): RecordType {
  return variables.get(name) as RecordType;
}

const REQUEST_HEAD = recordType(requestHead.variables, 'request');
const REQUEST = recordType(wholeRequest.variables, 'request');
const CLIENT = REQUEST.fields.client as RecordType;
const IDENTITY = recordType(requestHead.variables, 'identity');
const RESPONSE = recordType(wholeResponse.variables, 'response');

/** Header fields: names in lower case; of a repeated one the first counts. */
export class HeaderMap extends LazyMap {
  readonly #fields: Fields;

  constructor(fields: Fields) {
    super();
    this.#fields = fields;
  }

  get(name: string): string | undefined {
    return this.#fields.get(name);
  }

  keys(): Iterable<string> {
    const names = new Set<string>();
    this.#fields.forEach((name) => {
      names.add(name.toLowerCase());
    });
    return names;
  }
}

class ClientRecord extends ExpressionRecord {
  readonly type = CLIENT;
  readonly ip: string;

  constructor(ip: string) {
    super();
    this.ip = ip;
  }
}

class RequestRecord extends ExpressionRecord {
  readonly #exchange: Exchange;
  readonly #readBody: (() => unknown) | undefined;

  constructor(exchange: Exchange, readBody: (() => unknown) | undefined) {
    super();
    this.#exchange = exchange;
    this.#readBody = readBody;
  }

  get type(): RecordType {
    return this.#readBody === undefined ? REQUEST_HEAD : REQUEST;
  }

  get method(): string {
    return this.#exchange.method;
  }

  get path(): string {
    return this.#exchange.path;
  }

  get host(): string {
    return this.#exchange.host;
  }

  get scheme(): string {
    return this.#exchange.scheme;
  }

  get headers(): LazyMap {
    return new HeaderMap(this.#exchange.requestFields);
  }

  get query(): ReadonlyMap<string, string> {
    return this.#exchange.queryParams();
  }

  get cookies(): ReadonlyMap<string, string> {
    return this.#exchange.cookies();
  }

  get client(): ClientRecord {
    return new ClientRecord(this.#exchange.clientAddress);
  }

  get body(): unknown {
    return this.#readBody?.() ?? null;
  }

  /** What stands at a named segment of the route's path, percent-decoded. */
  segment(name: string): string | undefined {
    try {
      return this.#exchange.pathSegment(name);
    } catch {
      throw new ExpressionError(`what stands in the path at ${name} is no UTF-8`);
    }
  }
}

const NO_CLAIMS: ReadonlyMap<string, unknown> = new Map();
const NO_GROUPS: readonly string[] = [];

class IdentityRecord extends ExpressionRecord {
  readonly type = IDENTITY;
  readonly subject: string | null;
  readonly claims: unknown;
  readonly consumer: string | null;
  readonly groups: readonly string[];

  constructor({ identity }: Exchange) {
    super();
    this.subject = identity?.subject ?? null;
    this.claims = identity?.claims ?? NO_CLAIMS;
    this.consumer = identity?.consumer ?? null;
    this.groups = identity?.groups ?? NO_GROUPS;
  }
}

class ResponseRecord extends ExpressionRecord {
  readonly type = RESPONSE;
  readonly #status: number;
  readonly #fields: Fields;
  readonly #readBody: (() => unknown) | undefined;

  constructor(status: number, fields: Fields, readBody: (() => unknown) | undefined) {
    super();
    this.#status = status;
    this.#fields = fields;
    this.#readBody = readBody;
  }

  get status(): bigint {
    return BigInt(this.#status);
  }

  get headers(): LazyMap {
    return new HeaderMap(this.#fields);
  }

  get body(): unknown {
    return this.#readBody?.() ?? null;
  }
}

/** `request` and `identity`; the environment says whether there is a body. */
export class ExchangeVariables {
  readonly [name: string]: unknown;
  readonly #exchange: Exchange;
  readonly #readBody: (() => unknown) | undefined;

  /** @param readBody gives the request's body as it stands in expressions, where the environment has it; may be called several times */
  constructor(exchange: Exchange, readBody?: () => unknown) {
    this.#exchange = exchange;
    this.#readBody = readBody;
  }

  get request(): ExpressionRecord {
    return new RequestRecord(this.#exchange, this.#readBody);
  }

  get identity(): ExpressionRecord {
    return new IdentityRecord(this.#exchange);
  }
}

/** `response`, too. */
export class AnswerVariables extends ExchangeVariables {
  readonly #response: ExpressionRecord;

  /** @param readResponseBody as readBody */
  constructor(exchange: Exchange, status: number, fields: Fields, readBody?: () => unknown, readResponseBody?: () => unknown) {
    super(exchange, readBody);
    this.#response = new ResponseRecord(status, fields, readResponseBody);
  }

  get response(): ExpressionRecord {
    return this.#response;
  }
}
