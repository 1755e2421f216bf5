/** Authorities and revocation lists from ConfigMaps and Secrets, with their last good versions. */
import type { Entry, Problem, ResourceSet } from '../resources/resource-set.ts';
import { AUTHORITIES_KEY, type PemReading, REVOCATIONS_KEY } from '../resources/trust-anchors.ts';
import type { TrustReference } from '../resources/trust-reference.ts';
import type { Issues } from './issues.ts';

type Key = typeof AUTHORITIES_KEY | typeof REVOCATIONS_KEY;

/** PEM blocks that are in use, by kind, `namespace/name` and key of where they stand. */
export type TrustBlocks = ReadonlyMap<string, readonly string[]>;

export class Trust {
  readonly #set: Pick<ResourceSet, 'configMaps' | 'secrets'>;
  readonly #issues: Issues;
  readonly #lastGood: TrustBlocks;
  readonly #used = new Map<string, readonly string[]>();

  /** @param lastGood what was in use until now: it stays in force for objects that are missing, or hold nothing of use any more */
  constructor(set: Pick<ResourceSet, 'configMaps' | 'secrets'>, issues: Issues, lastGood: TrustBlocks) {
    this.#set = set;
    this.#issues = issues;
    this.#lastGood = lastGood;
  }

  /** Complete once everything is resolved. */
  get blocks(): TrustBlocks {
    return this.#used;
  }

  /**
   * @param owner whose references they are, to objects of its own namespace; it is told of what is wrong
   * @param field path of the list
   * @returns PEM, each block once; undefined where one of the references leads to nothing and never did to anything
   */
  resolve(owner: Entry<unknown>, field: string, references: readonly TrustReference[], key: Key): readonly string[] | undefined {
    const all = new Set<string>();
    let isWhole = true;
    for (const [index, reference] of references.entries()) {
      const blocks = this.resolveOne(owner, `${field}[${index}].name`, reference, key);
      if (blocks === undefined) isWhole = false;
      else for (const block of blocks) all.add(block);
    }
    return isWhole ? [...all] : undefined;
  }

  /** @param field path of the reference. As `resolve` */
  resolveOne(owner: Entry<unknown>, field: string, { kind, name }: TrustReference, key: Key): readonly string[] | undefined {
    const id = `${owner.namespace}/${name}`;
    const place = `${kind}/${id}/${key}`;
    const found = this.#find(kind, id, key);
    const blocks = 'blocks' in found ? found.blocks : this.#lastGood.get(place);
    if ('what' in found) {
      const serving = blocks === undefined ? CLOSED[key] : 'what was good before stays in force';
      const { severity, what, hint } = found;
      this.#issues.add(owner, 'ResolvedRefs', { severity, reason: 'InvalidCertificateRef', field, message: `${what}, so ${serving}`, hint });
    }
    if (blocks !== undefined) this.#used.set(place, blocks);
    return blocks;
  }

  #find(kind: TrustReference['kind'], id: string, key: Key): { readonly blocks: readonly string[] } | Fault {
    const entry = kind === 'ConfigMap' ? this.#set.configMaps.get(id) : this.#set.secrets.get(id);
    const what = `${kind} ${id}`;
    const hint = `make it hold PEM under ${key}`;
    if (entry === undefined) return { severity: 'warning', what: `${what} does not exist`, hint: `create it, with PEM under ${key}` };
    if (entry.object === undefined) return { severity: 'warning', what: `${what} is not valid`, hint: `mend the ${kind}` };
    const trust = entry.object.trust ?? {};
    const reading: PemReading | undefined = key === AUTHORITIES_KEY ? trust.authorities : trust.revocations;
    if (reading === undefined) return { severity: 'error', what: `${what} has no ${key}`, hint };
    if ('flaw' in reading) return { severity: 'error', what: `in ${what}, ${reading.flaw}`, hint: reading.hint };
    return reading;
  }
}

interface Fault {
  readonly severity: Problem['severity'];
  readonly what: string;
  readonly hint: string;
}

/** What comes of it where nothing was ever good. */
const CLOSED: Readonly<Record<Key, string>> = {
  [AUTHORITIES_KEY]: 'no certificate verifies',
  [REVOCATIONS_KEY]: 'no certificate counts as good',
};
