/** What one user asked an API server for, by the server's own audit log. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface AuditedRequest {
  readonly verb: string;
  /** Empty for the core group. */
  readonly group: string;
  /** With the subresource, as in `ingresses/status`; empty for what is no resource. */
  readonly resource: string;
  /** Empty for what has none. */
  readonly namespace: string;
  readonly name: string;
  readonly allowed: boolean;
  /** Which binding allowed it, in the words of RBAC. */
  readonly reason: string;
}

interface AuditEvent {
  readonly verb: string;
  readonly objectRef?: {
    readonly apiGroup?: string;
    readonly resource: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
  };
  readonly annotations?: Readonly<Record<string, string>>;
}

export class AuditLog {
  /** Flags of kube-apiserver. */
  readonly flags: readonly string[];
  readonly #file: string;

  /** @param folder where the policy and the log are kept */
  constructor(folder: string, user: string) {
    this.#file = join(folder, 'audit.log');
    const policy = join(folder, 'audit-policy.json');
    const rules = [{ level: 'Metadata', users: [user] }, { level: 'None' }];
    writeFileSync(policy, JSON.stringify({ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', omitStages: ['RequestReceived'], rules }));
    this.flags = [`--audit-policy-file=${policy}`, `--audit-log-path=${this.#file}`];
  }

  /** How much there is by now; for `requests`. */
  get length(): number {
    return this.#lines().length;
  }

  /** Each different request once. @param from only those after the first so many lines */
  requests(from = 0): readonly AuditedRequest[] {
    const found = new Map<string, AuditedRequest>();
    for (const line of this.#lines().slice(from)) {
      const { verb, objectRef, annotations = {} } = JSON.parse(line) as AuditEvent;
      const request = {
        verb,
        group: objectRef?.apiGroup ?? '',
        resource: [objectRef?.resource, objectRef?.subresource].filter(Boolean).join('/'),
        namespace: objectRef?.namespace ?? '',
        name: objectRef?.name ?? '',
        allowed: annotations['authorization.k8s.io/decision'] === 'allow',
        reason: annotations['authorization.k8s.io/reason'] ?? '',
      };
      found.set(JSON.stringify(request), request);
    }
    return [...found.values()];
  }

  #lines(): readonly string[] {
    try {
      return readFileSync(this.#file, 'utf8').trimEnd().split('\n').filter(Boolean);
    } catch (error) {
      // Nobody asked for anything yet.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }
}
