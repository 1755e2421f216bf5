import { parseAuthority } from '../exchange/authority.ts';
import type { Exchange, Reply } from '../exchange/exchange.ts';
import type { PolicyCounter } from '../exchange/policy-counters.ts';
import type { RequestRedirect } from '../snapshot/filters.ts';
import { compilePathRewrite, describePathRewrite, type RewritePath } from './path-rewrite.ts';
import { type Filter, type Policy, type PolicyContext, Verdict } from './policy.ts';

/**
 * Answers with a redirect. What the manifest leaves out stays as the client has it, the query always; the port is that of
 * the new scheme where one is given, else the request's own, and is left out where it is the scheme's default. A request
 * that is there already goes on to the rule's backendRefs, so that `scheme: https` on a route for both does not loop.
 */
export const requestRedirect: Policy<'requestRedirect'> = {
  name: 'requestRedirect',
  compile: (spec, context) => new RedirectFilter(spec, context),
};

const FAILED: Reply = { status: 500, reason: 'rewrite_failed', detail: 'The route makes no valid path of this request.' };
/** HTTP/1.0 may come without Host, and a URL has to name one. */
export const NO_HOST: Reply = { status: 400, reason: 'host_missing', detail: 'The request names no host to redirect within.' };

const DEFAULT_PORT = { http: 80, https: 443 } as const;

class RedirectFilter implements Filter {
  readonly policy = 'requestRedirect';
  readonly #spec: RequestRedirect;
  readonly #rewritePath: RewritePath | undefined;

  readonly #answered: PolicyCounter;
  readonly #failed: PolicyCounter;

  constructor(spec: RequestRedirect, { counter }: PolicyContext) {
    this.#spec = spec;
    this.#answered = counter('tidegate_filter_results_total', { filter: this.policy, result: 'answered' });
    this.#failed = counter('tidegate_filter_results_total', { filter: this.policy, result: 'failed' });
    this.#rewritePath = spec.path && compilePathRewrite(spec.path);
  }

  describe(): string {
    const { scheme, hostname, port, path, statusCode } = this.#spec;
    const parts = [scheme && `scheme ${scheme}`, hostname && `host ${hostname}`, port && `port ${port}`, path && describePathRewrite(path)].filter(
      (part) => part !== undefined,
    );
    return `redirect ${statusCode}${parts.length === 0 ? '' : `: ${parts.join(', ')}`}`;
  }

  onRequest(exchange: Exchange): Verdict {
    const spec = this.#spec;
    const path = this.#rewritePath === undefined || exchange.path === '*' ? exchange.path : this.#rewritePath(exchange);
    const host = spec.hostname ?? exchange.host;
    if (path === undefined || host === '') {
      this.#failed.value++;
      exchange.reply = path === undefined ? FAILED : NO_HOST;
      return Verdict.Answered;
    }
    const scheme = spec.scheme ?? exchange.scheme;
    const ownPort = parseAuthority(exchange.authority)?.port ?? DEFAULT_PORT[exchange.scheme];
    const port = spec.port ?? (spec.scheme === undefined ? ownPort : DEFAULT_PORT[spec.scheme]);
    if (scheme === exchange.scheme && host === exchange.host && port === ownPort && path === exchange.path) return Verdict.Continue;
    // `*` stands for no path at all (RFC 9112 section 3.2.4).
    const target = path === '*' ? '/' : path;
    const location = `${scheme}://${host}${port === DEFAULT_PORT[scheme] ? '' : `:${port}`}${target}${exchange.query}`;
    this.#answered.value++;
    exchange.reply = { status: spec.statusCode, reason: 'redirect', fields: [['Location', location]] };
    return Verdict.Answered;
  }
}
