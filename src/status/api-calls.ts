/** What this folder asks of an API server: single requests. `ApiClient` is one. */
export interface ApiCalls {
  /**
   * @returns the answer's document
   * @throws (rejects) ApiError for an answer that is no success, ConnectionError where there is none
   */
  request<T>(request: {
    readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
    readonly path: string;
    readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
    readonly body?: unknown;
    readonly contentType?: string;
    readonly signal?: AbortSignal;
    /** Milliseconds for the whole exchange. */
    readonly timeout?: number;
  }): Promise<T>;
}

/** Said once for each thing that happens; messages are constants. */
export type StatusLog = (level: 'info' | 'warn' | 'error', message: string, fields: Readonly<Record<string, unknown>>) => void;
