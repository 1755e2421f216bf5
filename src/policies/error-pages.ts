import type { CollectedBody, WholeAnswer } from '../exchange/bodies.ts';
import type { Exchange, Reply } from '../exchange/exchange.ts';
import type { Fields } from '../exchange/fields.ts';
import { type BodyLength, NO_BODY } from '../exchange/streams.ts';
import type { ErrorPages } from '../snapshot/body-filters.ts';
import type { Filter, Policy, PolicyContext } from './policy.ts';

/**
 * Pages in place of the bodies of error answers. Status and fields stay as they are, so that nobody takes a failure for
 * anything else; 401 and 403 keep their bodies, too, which say how to get in. An answer that a manifest or a policy has given
 * a body of its own is no error of the gateway.
 */
export const errorPages: Policy<'errorPages'> = {
  name: 'errorPages',
  compile: (spec, context) => new ErrorPagesFilter(spec, context),
};

/** Bytes of a backend's error that are read, so that its connection can be used again. */
const MAX_REPLACED = 64 * 1024;
/** Of the body that is replaced. */
const OF_OTHER_BYTES = [
  'content-encoding',
  'content-language',
  'content-range',
  'content-disposition',
  'content-md5',
  'digest',
  'content-digest',
  'repr-digest',
  'etag',
  'last-modified',
  'accept-ranges',
];

interface Page extends CollectedBody {
  readonly contentType: string;
  /** Bytes. */
  readonly length: number;
}

class ErrorPagesFilter implements Filter {
  readonly policy = 'errorPages';
  readonly #spec: ErrorPages;
  /** By status. */
  readonly #changes = new Map<number, Page>();

  constructor(spec: ErrorPages, context: PolicyContext) {
    this.#spec = spec;
    for (const { statuses, contentType, body } of spec.pages) {
      const bytes = Buffer.from(body);
      for (const { from, to } of statuses) {
        for (let status = from; status <= to; status++) {
          if (status === 401 || status === 403 || this.#changes.has(status)) continue;
          const count = context.counter('tidegate_error_pages_total', { code: String(status) });
          const change = (answer: WholeAnswer): undefined => {
            count.value++;
            describePage(answer.fields, contentType);
            answer.body = bytes;
          };
          const tooLarge: Reply = { status, reason: 'error_page', contentType, body: bytes };
          this.#changes.set(status, { maxBytes: MAX_REPLACED, change, tooLarge, contentType, length: bytes.length });
        }
      }
    }
  }

  describe(): string {
    const statuses = this.#spec.pages.flatMap((page) => page.statuses.map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`)));
    return `pages for ${statuses.join(', ')}${this.#spec.intercept ? ', of backends too' : ''}`;
  }

  onResponseBody(exchange: Exchange, status: number, fields: Fields, length: BodyLength): CollectedBody | undefined {
    if (status < 400 || exchange.isGrpc) return undefined;
    const isOwn = exchange.reply !== undefined && exchange.reply.body === undefined;
    const isBackends = exchange.reply === undefined && this.#spec.intercept;
    const page = isOwn || isBackends ? this.#changes.get(status) : undefined;
    if (page !== undefined && length === NO_BODY) {
      // HEAD has the fields that GET would have (RFC 9110 section 9.3.2), above all not the length of another body (section 8.6).
      describePage(fields, page.contentType);
      fields.set('Content-Length', String(page.length));
    }
    return page;
  }
}

function describePage(fields: Fields, contentType: string): void {
  for (const name of OF_OTHER_BYTES) fields.remove(name);
  fields.set('Content-Type', contentType);
}
