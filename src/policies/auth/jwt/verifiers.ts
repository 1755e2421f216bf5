/** The verifiers of one worker: routes with the same rules and keys share one, and with it what it knows. */
import { hash } from 'node:crypto';
import type { Documents } from '../../../fetch/worker-documents.ts';
import type { JwtKeys, JwtRules } from '../../../snapshot/jwt.ts';
import type { Secrets } from '../../secrets.ts';
import { loadJose } from './key-set.ts';
import { CellKeys, DocumentKeys } from './key-source.ts';
import { JwtVerifier, KnownTokens } from './verifier.ts';

export class JwtVerifiers {
  readonly known = new KnownTokens();
  readonly #documents: Documents;
  readonly #secrets: Secrets;
  /** Held by the filters that use them. */
  readonly #verifiers = new Map<string, WeakRef<JwtVerifier>>();
  readonly #unused = new FinalizationRegistry<string>((scope) => {
    if (this.#verifiers.get(scope)?.deref() === undefined) this.#verifiers.delete(scope);
  });

  constructor(documents: Documents, secrets: Secrets) {
    this.#documents = documents;
    this.#secrets = secrets;
  }

  get(rules: JwtRules, keys: JwtKeys): JwtVerifier {
    const scope = hash('sha256', JSON.stringify([rules, keys]), 'latin1');
    const shared = this.#verifiers.get(scope)?.deref();
    if (shared !== undefined) return shared;
    // It is there before the first token then. What went wrong, that token tells.
    loadJose().catch(() => {});
    const source = keys.type === 'Document' ? new DocumentKeys(this.#documents, keys.document) : new CellKeys(this.#secrets.cell(keys.secret));
    const verifier = new JwtVerifier(rules, source, this.known, scope);
    this.#verifiers.set(scope, new WeakRef(verifier));
    this.#unused.register(verifier, scope);
    return verifier;
  }
}
