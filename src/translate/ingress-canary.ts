/**
 * Canary Ingresses: one with `canary: "true"` takes a part of the requests of the Ingress of its namespace that has the same host
 * and path, its main one. Which part, its annotations say: by a header, else by a cookie, else by weight.
 *
 * What a header or a cookie decides are routes of their own, which come before the main one as all that are more specific do; the
 * weight is shared between the backends of the main route. All of them are served as the main Ingress says: the canary brings its
 * backends and nothing else.
 */
import { cookieNameFlaw, headerNameFlaw, headerValueFlaw, regexFlaw } from '../resources/fields.ts';
import type { Ingress, IngressBackend } from '../resources/ingress.ts';
import type { Entry } from '../resources/resource-set.ts';
import type { FieldMatch, Match } from '../snapshot/match.ts';
import { AnnotationValues, PREFIX, parseBoolean } from './annotation-values.ts';
import { type ClaimKey, claimKey, matchKey } from './conflicts.ts';
import { hostPattern, pathMatch } from './hosts-and-paths.ts';
import type { Issues } from './issues.ts';
import { compareAge } from './order.ts';

export const CANARY_ANNOTATIONS: ReadonlySet<string> = new Set([
  'canary',
  'canary-by-header',
  'canary-by-header-value',
  'canary-by-header-pattern',
  'canary-by-cookie',
  'canary-weight',
  'canary-weight-total',
]);

const PATH_TYPES = { Exact: 'Exact', Prefix: 'PathPrefix', ImplementationSpecific: 'PathPrefix' } as const;
const MOST_WEIGHT = 1_000_000;

/** Which requests a canary gets. */
export interface CanaryChoice {
  /** With one of these it gets them, with one of `never` it does not. Headers come before cookies. */
  readonly always: readonly Pick<Match, 'headers' | 'cookies'>[];
  readonly never: readonly Pick<Match, 'headers' | 'cookies'>[];
  /** Of the others, so many of `total`. */
  readonly weight: number;
  readonly total: number;
}

/** One path of a canary. */
export interface CanaryPath {
  readonly entry: Entry<Ingress>;
  readonly field: string;
  /** What metrics and logs call it. */
  readonly label: string;
  readonly backend: IngressBackend;
  readonly choice: CanaryChoice;
}

export class Canaries {
  readonly #paths = new Map<string, CanaryPath>();
  readonly #entries = new Set<Entry<Ingress>>();
  readonly #taken = new Set<CanaryPath>();
  readonly #issues: Issues;

  /** @param ingresses those that are ours */
  constructor(ingresses: Iterable<{ readonly entry: Entry<Ingress>; readonly ingress: Ingress }>, issues: Issues) {
    this.#issues = issues;
    const canaries = [...ingresses].filter(({ ingress }) => isCanary(ingress)).sort((one, other) => compareAge(one.entry, other.entry));
    for (const { entry, ingress } of canaries) this.#add(entry, ingress);
  }

  get isEmpty(): boolean {
    return this.#entries.size === 0;
  }

  has(entry: Entry<unknown>): boolean {
    return this.#entries.has(entry as Entry<Ingress>);
  }

  /** Whether a main one's path has a canary. @param key what the path claims */
  at(namespace: string, key: ClaimKey): CanaryPath | undefined {
    return this.#paths.get(placeOf(namespace, key));
  }

  /** The main Ingress of that path was found. */
  take(path: CanaryPath): void {
    this.#taken.add(path);
  }

  /** Whether any of its paths has a main one. Ask once all others are translated. */
  serves(entry: Entry<unknown>): boolean {
    for (const path of this.#taken) if (path.entry === entry) return true;
    return false;
  }

  /** Tells canaries of paths without a main one. Once all others are translated. */
  tellOrphans(): void {
    for (const path of this.#paths.values()) {
      if (this.#taken.has(path)) continue;
      this.#issues.add(path.entry, 'told', {
        severity: 'warning',
        reason: 'Invalid',
        field: path.field,
        message: `no other Ingress of namespace ${path.entry.namespace} serves this host and path: the canary gets no requests there`,
        hint: 'write the host and path as the main Ingress has them, or take the annotation canary out',
      });
    }
  }

  #add(entry: Entry<Ingress>, ingress: Ingress): void {
    this.#entries.add(entry);
    const values = new AnnotationValues(entry, ingress, this.#issues);
    const choice = readChoice(values);
    if (ingress.spec.defaultBackend !== undefined) {
      this.#issues.add(entry, 'told', {
        severity: 'warning',
        reason: 'UnsupportedValue',
        field: 'spec.defaultBackend',
        message: 'a canary has no default backend: only its paths get requests of the main Ingress',
        hint: 'leave it out, or write a path in its place',
      });
    }
    for (const [ruleIndex, rule] of ingress.spec.rules.entries()) {
      for (const [pathIndex, one] of rule.paths.entries()) {
        const path = pathMatch(PATH_TYPES[one.pathType], one.path);
        if (path === undefined) continue;
        const field = `spec.rules[${ruleIndex}].http.paths[${pathIndex}]`;
        const label = pathIndex === 0 ? String(ruleIndex) : `${ruleIndex}.${pathIndex}`;
        const place = placeOf(entry.namespace, claimKey(hostPattern(rule.host, 'OneLabel'), matchKey({ path, headers: [], queryParams: [], cookies: [] })));
        const older = this.#paths.get(place);
        if (older === undefined) {
          this.#paths.set(place, { entry, field, label, backend: one.backend, choice });
          continue;
        }
        this.#issues.add(entry, 'Accepted', {
          severity: 'warning',
          reason: 'Conflicted',
          field,
          message: `Ingress ${older.entry.namespace}/${older.entry.name} is a canary of the same host and path, and older: it wins`,
          hint: 'keep one canary for each path',
        });
      }
    }
  }
}

export function isCanary({ metadata: { annotations } }: Ingress): boolean {
  return parseBoolean(annotations[`${PREFIX}canary`] ?? 'false') === true;
}

function placeOf(namespace: string, key: ClaimKey): string {
  return `${namespace}\n${key}`;
}

function readChoice(values: AnnotationValues): CanaryChoice {
  const always: CanaryChoice['always'][number][] = [];
  const never: CanaryChoice['never'][number][] = [];
  const header = values.checked('canary-by-header', headerNameFlaw)?.toLowerCase();
  if (header !== undefined) {
    const value = values.checked('canary-by-header-value', headerValueFlaw);
    const pattern = value === undefined ? values.checked('canary-by-header-pattern', regexFlaw) : undefined;
    if (value !== undefined && value !== '') {
      always.push(inHeader(header, { type: 'Exact', value }));
    } else if (pattern !== undefined && pattern !== '') {
      // It may be found anywhere in the value, and ours cover the whole of it.
      always.push(inHeader(header, { type: 'RegularExpression', value: `(?s:.*)(?:${pattern})(?s:.*)` }));
    } else {
      always.push(inHeader(header, { type: 'Exact', value: 'always' }));
      never.push(inHeader(header, { type: 'Exact', value: 'never' }));
    }
  }
  const cookie = values.checked('canary-by-cookie', cookieNameFlaw);
  if (cookie !== undefined) {
    always.push(inCookie(cookie, 'always'));
    never.push(inCookie(cookie, 'never'));
  }
  const total = values.wholeNumber('canary-weight-total', 1, MOST_WEIGHT) ?? 100;
  const weight = Math.min(total, values.wholeNumber('canary-weight', 0, MOST_WEIGHT) ?? 0);
  return { always, never, weight, total };
}

function inHeader(name: string, match: Omit<FieldMatch, 'name'>): Pick<Match, 'headers' | 'cookies'> {
  return { headers: [{ name, ...match }], cookies: [] };
}

function inCookie(name: string, value: string): Pick<Match, 'headers' | 'cookies'> {
  return { headers: [], cookies: [{ name, type: 'Exact', value }] };
}
