/** `forward`: what the backend is told of who calls. What a client writes there itself never gets to a backend. */
import type { Exchange } from '../../exchange/exchange.ts';
import { requestHead } from '../../expressions/environments.ts';
import { ExchangeVariables } from '../../expressions/exchange-variables.ts';
import { compileExpression, type Expression } from '../../expressions/expression.ts';
import { ExpressionError } from '../../expressions/expression-error.ts';
import type { ForwardedHeader } from '../../snapshot/auth.ts';
import { FAILURES } from './authorization.ts';
import { Refusal } from './method.ts';

const UNSAFE = new Refusal({ status: 503, reason: 'unsafe_forward_value', detail: 'The request can not be passed on.' });
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for (RFC 9110 section 5.5).
const CONTROL = /[\u0000-\u0008\u000a-\u001f\u007f]/;

interface Header {
  readonly name: string;
  readonly value: Expression<string>;
}

export class Forward {
  readonly #headers: readonly Header[];
  readonly #names: readonly string[];

  /** @throws ExpressionFault for what translation has not let through */
  constructor(headers: readonly ForwardedHeader[]) {
    this.#headers = headers.map(({ name, value }) => ({ name, value: compileExpression(value, requestHead, 'text') }));
    this.#names = headers.map(({ name }) => name);
  }

  describe(): string {
    return `forwards ${this.#headers.map(({ name, value }) => `${name}: ${value.source}`).join(', ')}`;
  }

  /** Takes away what the client has written, and has its trailers without it. */
  clear(exchange: Exchange): void {
    const { requestFields } = exchange;
    exchange.ownFields = this.#names;
    for (let index = 0; index < this.#headers.length; index++) requestFields.remove((this.#headers[index] as Header).name);
  }

  /** After `clear`, where somebody is known. @returns a refusal where a value can't be had, or can't be written */
  write(exchange: Exchange): Refusal | undefined {
    const variables = new ExchangeVariables(exchange);
    for (let index = 0; index < this.#headers.length; index++) {
      const { name, value } = this.#headers[index] as Header;
      try {
        const text = value.evaluate(variables);
        if (CONTROL.test(text)) return UNSAFE;
        exchange.requestFields.set(name, bytesOf(text));
      } catch (error) {
        if (error instanceof ExpressionError) return FAILURES[error.reason];
        throw error;
      }
    }
    return undefined;
  }
}

/** UTF-8, a character for each byte. */
function bytesOf(text: string): string {
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) > 0x7f) return Buffer.from(text).toString('latin1');
  return text;
}
