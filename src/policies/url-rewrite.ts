import type { Exchange, Reply } from '../exchange/exchange.ts';
import type { PolicyCounter } from '../exchange/policy-counters.ts';
import type { UrlRewrite } from '../snapshot/filters.ts';
import { compilePathRewrite, describePathRewrite, type RewritePath } from './path-rewrite.ts';
import { type Filter, type Policy, type PolicyContext, Verdict } from './policy.ts';

/** Changes Host and path of what goes to the backend; the query stays. */
export const urlRewrite: Policy<'urlRewrite'> = {
  name: 'urlRewrite',
  compile: (spec, context) => new UrlRewriteFilter(spec, context),
};

/** The manifest's fault, in a way that only the request at hand shows. */
const FAILED: Reply = { status: 500, reason: 'rewrite_failed', detail: 'The route makes no valid path of this request.' };

class UrlRewriteFilter implements Filter {
  readonly policy = 'urlRewrite';
  readonly #spec: UrlRewrite;
  readonly #rewritePath: RewritePath | undefined;

  readonly #failed: PolicyCounter;

  constructor(spec: UrlRewrite, { counter }: PolicyContext) {
    this.#spec = spec;
    this.#failed = counter('tidegate_filter_results_total', { filter: this.policy, result: 'failed' });
    this.#rewritePath = spec.path && compilePathRewrite(spec.path);
  }

  describe(): string {
    const { hostname, path } = this.#spec;
    return [hostname === undefined ? '' : `host becomes ${hostname}`, path === undefined ? '' : describePathRewrite(path)]
      .filter((part) => part !== '')
      .join('; ');
  }

  onRequest(exchange: Exchange): Verdict {
    if (this.#spec.hostname !== undefined) exchange.upstreamHost = this.#spec.hostname;
    // `OPTIONS *` is about the server as a whole and has no path.
    if (this.#rewritePath === undefined || exchange.path === '*') return Verdict.Continue;
    const path = this.#rewritePath(exchange);
    if (path === undefined) {
      this.#failed.value++;
      exchange.reply = FAILED;
      return Verdict.Answered;
    }
    exchange.upstreamPath = path;
    return Verdict.Continue;
  }
}
