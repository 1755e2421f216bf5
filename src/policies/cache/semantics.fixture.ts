/**
 * For tests: our rules of RFC 9111 beside those of `http-cache-semantics`. A scene is what the cache saw, from which both get
 * messages; the library gets them with each thing that it takes in another way said so that it comes to what the RFC says, or to what
 * this cache has chosen where the RFC leaves the choice. The list of these corrections is all in which the two differ.
 */
import CachePolicy from 'http-cache-semantics';
import { Fields } from '../../exchange/fields.ts';
import type { CacheSpec } from '../../snapshot/cache.ts';
import { askingOf, Use, useOf } from './asking.ts';
import { variantKey } from './cache-key.ts';
import { type Terms, termsOf } from './storing.ts';

/** A directive as it is written: `name`, or `name=argument`. */
export type Directive = readonly [name: string, argument?: string | undefined];

export interface Scene {
  readonly status: number;
  readonly directives: readonly Directive[];
  /** Further fields of the answer, names in lower case. */
  readonly answer: Readonly<Record<string, string>>;
  /** Fields of the request that brought the answer, and of the one that comes later. */
  readonly first: Readonly<Record<string, string>>;
  readonly second: Readonly<Record<string, string>>;
  readonly secondDirectives: readonly Directive[];
  /** Seconds from the one to the other. */
  readonly later: number;
}

/** What becomes of the second request: the stored answer, the same and a look at the origin beside it, or the origin's word first. */
export type Outcome = 'hit' | 'meanwhile' | 'miss';

export const NOW = Date.UTC(2026, 0, 1);

function line(directives: readonly Directive[]): Record<string, string> {
  if (directives.length === 0) return {};
  return { 'cache-control': directives.map(([name, argument]) => (argument === undefined ? name : `${name}=${argument}`)).join(', ') };
}

// --- ours ---

/** Without windows of its own and without `defaultTTL`, so that the messages alone decide. */
const SPEC: CacheSpec = { maxEntryBytes: 1000, defaultTTL: 0, varyOnQuery: [], staleWhileRevalidate: 0, staleIfError: 0 };

export function ourTerms({ status, directives, answer, first }: Scene): Terms | undefined {
  const fields = Fields.of(Object.entries({ ...answer, ...line(directives) }));
  return termsOf(SPEC, status, fields, { authorized: 'authorization' in first, delay: 0, now: NOW });
}

export function ours(scene: Scene): Outcome {
  const { first, second, secondDirectives, later } = scene;
  const terms = ourTerms(scene);
  const asked = Fields.of(Object.entries(first));
  const again = Fields.of(Object.entries({ ...second, ...line(secondDirectives) }));
  if (terms === undefined || askingOf(asked).noStore) return 'miss';
  if (variantKey('', terms.vary, asked) !== variantKey('', terms.vary, again)) return 'miss';
  const asking = askingOf(again);
  if (asking.noStore) return 'miss';
  const use = useOf(terms, terms.initialAge + later * 1000, asking);
  return use === Use.Validate ? 'miss' : use === Use.StaleMeanwhile ? 'meanwhile' : 'hit';
}

// --- the library's ---

class ClockedPolicy extends CachePolicy {
  /** Milliseconds past `NOW`. */
  passed = 0;

  /** Called by the constructor, before `passed` is there. */
  now(): number {
    return NOW + (this.passed ?? 0);
  }
}

export function theirs(scene: Scene, corrections: readonly Correction[]): Outcome {
  let seen = scene;
  for (const { apply } of corrections) seen = { ...seen, ...apply(seen) };
  const { status, directives, answer, first, second, secondDirectives, later } = seen;
  const options = { shared: true, cacheHeuristic: 0, immutableMinTimeToLive: 0 };
  const policy = new ClockedPolicy({ headers: { ...first } }, { status, headers: { ...answer, ...line(directives) } }, options);
  if (!policy.storable()) return 'miss';
  policy.passed = later * 1000;
  const { response, revalidation } = policy.evaluateRequest({ headers: { ...second, ...line(secondDirectives) } });
  if (response === undefined) return 'miss';
  return revalidation === undefined ? 'hit' : 'meanwhile';
}

// --- what they take in another way ---

export interface Correction {
  readonly name: string;
  /** Where it is said, or that it is a choice. */
  readonly why: string;
  /**
   * @param seen the scene as the library would see it so far
   * @returns what it has to see instead
   */
  apply(seen: Scene): Partial<Scene>;
}

const lower = (directives: readonly Directive[]): Directive[] => directives.map(([name, argument]) => [name.toLowerCase(), argument]);
const has = (directives: readonly Directive[], name: string): boolean => directives.some(([one]) => one === name);
const without = (directives: readonly Directive[], ...names: readonly string[]): Directive[] => directives.filter(([name]) => !names.includes(name));
const omit = (fields: Readonly<Record<string, string>>, name: string): Record<string, string> =>
  Object.fromEntries(Object.entries(fields).filter(([one]) => one !== name));

const SECONDS = new Set(['max-age', 's-maxage', 'stale-while-revalidate', 'stale-if-error', 'min-fresh', 'max-stale']);
const DIGITS = /^\d+$/;
const bare = (argument: string): string => argument.replace(/^"|"$/g, '');
/** `private` or `no-cache` about some fields alone. */
const isQualified = ([name, argument]: Directive): boolean => (name === 'private' || name === 'no-cache') && argument !== undefined;
const NO_STORE: Directive = ['no-store'];
const IMF = /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/;

/** Seconds that the answer says it is good for, as the RFC counts them; undefined: it does not say. */
function statedLifetime({ directives, answer }: Scene): number | undefined {
  const age = directives.find(([name]) => name === 's-maxage') ?? directives.find(([name]) => name === 'max-age');
  if (age !== undefined) return Number(bare(age[1] ?? '0'));
  if (answer.expires === undefined) return undefined;
  const from = answer.date === undefined ? NOW : Date.parse(answer.date);
  return IMF.test(answer.expires) ? Math.max(0, (Date.parse(answer.expires) - from) / 1000) : 0;
}

/** In their order: later ones rely on what earlier ones have made plain. */
export const CORRECTIONS: readonly Correction[] = [
  {
    name: 'directives have no case',
    why: 'RFC 9111 section 5.2',
    apply: ({ directives, secondDirectives }) => ({ directives: lower(directives), secondDirectives: lower(secondDirectives) }),
  },
  {
    name: 'a directive that contradicts itself says the least',
    why: 'RFC 9111 section 4.2.1',
    apply: ({ directives, secondDirectives }) => {
      const least = (all: readonly Directive[], nothing: (name: string) => string): Directive[] => {
        const found = new Map<string, string | undefined>();
        for (const [name, argument] of all) {
          const differs = found.has(name) && bare(found.get(name) ?? '') !== bare(argument ?? '');
          found.set(name, differs ? (SECONDS.has(name) ? nothing(name) : undefined) : argument);
        }
        return [...found];
      };
      return { directives: least(directives, () => '0'), secondDirectives: least(secondDirectives, (name) => (name === 'min-fresh' ? '999999999' : '0')) };
    },
  },
  {
    name: 'seconds are digits, and nothing else',
    why: 'RFC 9111 section 1.2.2',
    apply: ({ directives, secondDirectives }) => {
      const strict = (all: readonly Directive[], ofRequest: boolean): Directive[] =>
        all.flatMap(([name, argument]): Directive[] => {
          if (!SECONDS.has(name)) return [[name, argument]];
          // An empty argument is none, which means any staleness.
          if (name === 'max-stale' && ofRequest && (argument === undefined || argument === '')) return [[name]];
          if (argument !== undefined && DIGITS.test(bare(argument))) return [[name, bare(argument)]];
          return [[name, name === 'min-fresh' ? '999999999' : '0']];
        });
      return { directives: strict(directives, false), secondDirectives: strict(secondDirectives, true) };
    },
  },
  {
    name: 'must-understand takes no-store back',
    why: 'RFC 9111 section 5.2.2.3',
    apply: ({ directives }) => (has(directives, 'must-understand') ? { directives: without(directives, 'no-store') } : {}),
  },
  {
    name: 'private and no-cache with names are about these fields alone; without the cookie an answer can be kept',
    why: 'RFC 9111 sections 5.2.2.4 and 5.2.2.7',
    apply: ({ directives, answer }) => {
      const named = directives.filter(isQualified).flatMap(([, argument]) => bare(argument as string).split(/, ?/));
      return { directives: directives.filter((one) => !isQualified(one)), answer: named.includes('set-cookie') ? omit(answer, 'set-cookie') : answer };
    },
  },
  {
    name: 'answers that set a cookie are not kept',
    why: 'a choice (RFC 9111 section 7.3); the library keeps them when they are public, and for the next 304 otherwise',
    apply: ({ directives, answer }) => ('set-cookie' in answer ? { directives: [...directives, NO_STORE] } : {}),
  },
  {
    name: 'statuses: 451 is kept, 303 is not',
    why: 'a choice (RFC 9110 section 15.1: 451 is heuristically cacheable by RFC 7725; a 303 is the answer to one request)',
    apply: ({ status }) => ({ status: status === 451 ? 410 : status === 303 ? 500 : status }),
  },
  {
    name: 'Pragma counts in requests without Cache-Control alone',
    why: 'RFC 9111 section 5.4',
    apply: ({ answer, second, secondDirectives }) => ({
      answer: omit(answer, 'pragma'),
      second: secondDirectives.length > 0 ? omit(second, 'pragma') : second,
    }),
  },
  {
    name: 'an age that is no number is none',
    why: 'RFC 9111 section 5.1',
    apply: ({ answer }) => ('age' in answer && !/^\d+(?=\s*(?:,|$))/.test(answer.age as string) ? { answer: omit(answer, 'age') } : {}),
  },
  {
    name: 'dates have three forms; another Expires is in the past, another Date is none',
    why: 'RFC 9110 section 5.6.7, RFC 9111 section 5.3',
    apply: ({ answer }) => ({
      answer: {
        ...('date' in answer && !IMF.test(answer.date as string) ? omit(answer, 'date') : answer),
        ...('expires' in answer && !IMF.test(answer.expires as string) ? { expires: '0' } : {}),
      },
    }),
  },
  {
    name: 'an answer is at least as old as its Date',
    why: 'RFC 9111 section 4.2.3',
    apply: ({ answer }) => {
      const apparent = answer.date === undefined ? 0 : Math.max(0, (NOW - Date.parse(answer.date)) / 1000);
      return { answer: { ...answer, age: String(Math.max(apparent, Number.parseInt(answer.age ?? '0', 10))) } };
    },
  },
  {
    name: 'without a lifetime nothing is kept, unless it is to be validated each time',
    why: 'a choice: no heuristics (RFC 9111 section 4.2.2), also not for `immutable` (RFC 8246 section 2)',
    apply: (seen) => ({
      directives:
        statedLifetime(seen) === undefined && !has(seen.directives, 'no-cache') ? [...seen.directives, NO_STORE] : without(seen.directives, 'immutable'),
    }),
  },
  {
    name: 'what is stale at once, with nothing to validate it by, is not kept',
    why: 'a choice: it would be served to `max-stale` alone',
    apply: (seen) => {
      const { directives, answer } = seen;
      if ('etag' in answer || 'last-modified' in answer) return {};
      const forbidden = has(directives, 'must-revalidate') || has(directives, 'proxy-revalidate') || has(directives, 'no-cache');
      const window = forbidden ? 0 : Number(directives.find(([name]) => name === 'stale-while-revalidate')?.[1] ?? 0);
      const good = (statedLifetime(seen) ?? 0) + window;
      return has(directives, 'no-cache') || good <= Number(answer.age) ? { directives: [...directives, NO_STORE] } : {};
    },
  },
  {
    name: 'no-cache is not got round by staleness that is allowed',
    why: 'RFC 9111 section 5.2.2.4',
    apply: ({ directives, secondDirectives }) =>
      has(directives, 'no-cache')
        ? { directives: without(directives, 'stale-while-revalidate'), secondDirectives: without(secondDirectives, 'max-stale') }
        : {},
  },
  {
    name: 's-maxage implies that nothing is served stale because the client would take it',
    why: 'RFC 9111 section 5.2.2.10',
    apply: ({ directives, secondDirectives }) => (has(directives, 's-maxage') ? { secondDirectives: without(secondDirectives, 'max-stale') } : {}),
  },
  {
    name: 'must-revalidate and proxy-revalidate are about answers that have become stale',
    why: 'RFC 9111 sections 5.2.2.2 and 5.2.2.8; the first also lets answers to requests with Authorization be kept (section 3.5)',
    apply: ({ directives, secondDirectives }) => {
      const must = has(directives, 'must-revalidate');
      if (!must && !has(directives, 'proxy-revalidate')) return {};
      const rest = without(directives, 'must-revalidate', 'proxy-revalidate', 'stale-while-revalidate');
      return { directives: must ? [...rest, ['public']] : rest, secondDirectives: without(secondDirectives, 'max-stale') };
    },
  },
  {
    name: 'a client that names a bound gets nothing that is stale meanwhile',
    why: 'a choice (RFC 9111 section 5.2.1): it asks for more than the origin says',
    apply: ({ directives, secondDirectives }) => {
      const bounded = has(secondDirectives, 'max-age') || has(secondDirectives, 'min-fresh');
      return bounded ? { directives: without(directives, 'stale-while-revalidate') } : {};
    },
  },
  {
    name: 'min-fresh and max-stale at once: the stricter one holds',
    why: 'a choice (RFC 9111 section 5.2.1.3)',
    apply: ({ secondDirectives }) => (has(secondDirectives, 'min-fresh') ? { secondDirectives: without(secondDirectives, 'max-stale') } : {}),
  },
  {
    name: 'staleness that is just as long as max-stale is within it; max-stale=0 is none',
    why: 'RFC 9111 section 5.2.1.2: "by no more than"',
    apply: ({ secondDirectives }) => ({
      secondDirectives: secondDirectives.flatMap(([name, argument]): Directive[] => {
        if (name !== 'max-stale' || argument === undefined) return [[name, argument]];
        return argument === '0' ? [] : [[name, String(Number(argument) + 1)]];
      }),
    }),
  },
  {
    name: 'requests with no-store go past the cache',
    why: 'a choice (RFC 9111 section 5.2.1.5)',
    apply: ({ secondDirectives }) => (has(secondDirectives, 'no-store') ? { secondDirectives: [['no-cache']] } : {}),
  },
  {
    name: 'the members of Accept-Language stand in any order and case',
    why: 'RFC 9111 section 4.1: a cache may normalise what does not change the meaning',
    apply: ({ first, second }) => ({ first: normalized(first), second: normalized(second) }),
  },
];

function normalized(fields: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const language = fields['accept-language'];
  if (language === undefined) return fields;
  const members = language
    .toLowerCase()
    .split(',')
    .map((member) => member.trim());
  return { ...fields, 'accept-language': members.sort().join(',') };
}
