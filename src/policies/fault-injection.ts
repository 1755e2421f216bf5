import type { Exchange, Reply } from '../exchange/exchange.ts';
import type { PolicyCounter } from '../exchange/policy-counters.ts';
import type { FaultInjection } from '../snapshot/filters.ts';
import { type Filter, type Policy, type PolicyContext, Verdict } from './policy.ts';

/** Makes trouble on purpose: some requests wait, some fail. Whether one waits and whether it fails are two chances, not one. */
export const faultInjection: Policy<'faultInjection'> = {
  name: 'faultInjection',
  compile: (spec, context) => new FaultInjectionFilter(spec, context),
};

class FaultInjectionFilter implements Filter {
  readonly policy = 'faultInjection';
  readonly #delay: FaultInjection['delay'];
  readonly #abort: FaultInjection['abort'];
  readonly #reply: Reply;
  readonly #random: () => number;
  readonly #delayed: PolicyCounter;
  readonly #aborted: PolicyCounter;

  constructor({ delay, abort }: FaultInjection, { counter, random }: PolicyContext) {
    this.#delay = delay;
    this.#abort = abort;
    this.#reply = { status: abort?.statusCode ?? 503, reason: 'fault_injected', detail: 'The request was made to fail, as a test.' };
    this.#random = random;
    this.#delayed = counter('tidegate_faults_injected_total', { kind: 'delay' });
    this.#aborted = counter('tidegate_faults_injected_total', { kind: 'abort' });
  }

  describe(): string {
    const parts: string[] = [];
    if (this.#delay !== undefined) parts.push(`hold back ${this.#delay.percent} % of the requests for ${this.#delay.duration} ms`);
    if (this.#abort !== undefined) parts.push(`answer ${this.#abort.percent} % with ${this.#abort.statusCode}`);
    return parts.join(', ');
  }

  onRequest(exchange: Exchange): Verdict {
    const aborts = this.#happens(this.#abort);
    if (aborts) this.#aborted.value++;
    if (this.#delay === undefined || !this.#happens(this.#delay)) {
      if (!aborts) return Verdict.Continue;
      exchange.reply = this.#reply;
      return Verdict.Answered;
    }
    this.#delayed.value++;
    const timer = setTimeout(() => {
      if (aborts) exchange.reply = this.#reply;
      exchange.resume();
    }, this.#delay.duration);
    exchange.onAbandoned = () => clearTimeout(timer);
    return Verdict.Waiting;
  }

  #happens(fault: { readonly percent: number } | undefined): boolean {
    return fault !== undefined && this.#random() * 100 < fault.percent;
  }
}
