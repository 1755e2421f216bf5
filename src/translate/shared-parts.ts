import type { Match } from '../snapshot/match.ts';
import type { Route } from '../snapshot/route.ts';
import type { RouteDraft } from './routes.ts';

/**
 * Makes equal parts of routes one object. Ten thousand rules differ in their paths and little else, and what is shared here
 * stays shared on its way to the workers (structured clones keep identity), which keep one compiled form of it.
 */
export class SharedParts {
  readonly #parts = new Map<string, unknown>();

  route(draft: RouteDraft, rank: number): Route {
    return {
      ...draft,
      hosts: this.#one(draft.hosts),
      matches: draft.matches.map((match) => this.#match(match)),
      rank,
      filters: this.#one(draft.filters),
      timeouts: this.#one(draft.timeouts),
      backends: this.#one(draft.backends),
      ...(draft.retry === undefined ? {} : { retry: this.#one(draft.retry) }),
      ...(draft.hedge === undefined ? {} : { hedge: this.#one(draft.hedge) }),
      ...(draft.fallback === undefined ? {} : { fallback: this.#one(draft.fallback) }),
    };
  }

  #match(match: Match): Match {
    return { ...match, headers: this.#one(match.headers), queryParams: this.#one(match.queryParams), cookies: this.#one(match.cookies) };
  }

  #one<T>(part: T): T {
    const text = JSON.stringify(part);
    const known = this.#parts.get(text);
    if (known !== undefined) return known as T;
    this.#parts.set(text, part);
    return part;
  }
}
