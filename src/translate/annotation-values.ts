/** How the values of ingress-nginx's annotations are read, and what is told of bad ones. */
import type { Ingress } from '../resources/ingress.ts';
import type { Entry } from '../resources/resource-set.ts';
import type { Issues } from './issues.ts';

export const PREFIX = 'nginx.ingress.kubernetes.io/';

/** One object's annotations, by their names without the prefix. */
export class AnnotationValues {
  readonly #entry: Entry<Ingress>;
  readonly #annotations: Readonly<Record<string, string>>;
  readonly #issues: Issues;

  constructor(entry: Entry<Ingress>, ingress: Ingress, issues: Issues) {
    this.#entry = entry;
    this.#annotations = ingress.metadata.annotations;
    this.#issues = issues;
  }

  text(name: string): string | undefined {
    return this.#annotations[PREFIX + name];
  }

  boolean(name: string): boolean | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    return parseBoolean(value) ?? this.refuse(name, 'neither true nor false', 'write "true" or "false"');
  }

  wholeNumber(name: string, least: number, most: number): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const number = Number(value);
    if (/^\d{1,10}$/.test(value) && number >= least && number <= most) return number;
    return this.refuse(name, `no whole number from ${least} to ${most}`, `write one as "${least}"`);
  }

  oneOf<Word extends string>(name: string, words: readonly Word[]): Word | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const word = words.find((one) => one.toLowerCase() === value.toLowerCase());
    return word ?? this.refuse(name, `not one of ${words.join(', ')}`, `write ${words.map((one) => `"${one}"`).join(' or ')}`);
  }

  /** @param flaw of the value, undefined when it is good */
  checked(name: string, flaw: (value: string) => { readonly message: string; readonly hint: string } | undefined): string | undefined {
    const value = this.text(name);
    const found = value === undefined ? undefined : flaw(value);
    if (found === undefined) return value;
    this.#add(name, found.message, found.hint);
    return undefined;
  }

  /** Tells of a bad value, which counts as not given. */
  refuse(name: string, flaw: string, hint: string): undefined {
    this.#add(name, `${JSON.stringify((this.text(name) ?? '').slice(0, 80))} is ${flaw}`, hint);
    return undefined;
  }

  /** Tells of what is passed over, though it is no mistake. */
  warn(name: string, message: string, hint: string): void {
    this.#issues.add(this.#entry, 'told', { severity: 'warning', reason: 'UnsupportedValue', field: fieldOf(name), message, hint });
  }

  #add(name: string, message: string, hint: string): void {
    this.#issues.add(this.#entry, 'Accepted', { severity: 'error', reason: 'Invalid', field: fieldOf(name), message, hint });
  }
}

export function fieldOf(name: string): string {
  return `metadata.annotations[${JSON.stringify(PREFIX + name)}]`;
}

/** As ingress-nginx reads booleans (Go's strconv.ParseBool). */
export function parseBoolean(value: string): boolean | undefined {
  if (/^(1|t|T|TRUE|true|True)$/.test(value)) return true;
  if (/^(0|f|F|FALSE|false|False)$/.test(value)) return false;
  return undefined;
}
