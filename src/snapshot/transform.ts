/** Bodies, statuses and headers that expressions make; each field is CEL. */
export interface Transform {
  readonly request?: { readonly body: string };
  readonly response?: {
    readonly body?: string;
    readonly status?: string;
    /** Names are lower-case. */
    readonly headers: readonly { readonly name: string; readonly expression: string }[];
  };
}
