/** What translation has to say about each object: conditions as in Gateway API. */

export interface Condition {
  readonly type: 'Accepted' | 'ResolvedRefs' | 'Programmed';
  readonly status: 'True' | 'False';
  /** Accepted | ResolvedRefs | Programmed when True; else Invalid, UnsupportedValue, BackendNotFound, RefNotPermitted, Conflicted, ... */
  readonly reason: string;
  /** Names the field and the remedy. */
  readonly message: string;
  readonly observedGeneration: number;
}

export interface ObjectStatus {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly conditions: readonly Condition[];
  /** Policies only: a status for each target. */
  readonly ancestors?: readonly {
    readonly ancestorRef: { readonly group: string; readonly kind: string; readonly namespace: string; readonly name: string; readonly sectionName?: string };
    readonly controllerName: string;
    readonly conditions: readonly Condition[];
  }[];
}
