/** What can go wrong between us and an API server, in types that callers tell apart. Messages are one line each. */

/** An answer of the API server that is no success: a Kubernetes Status, or the like of one made from any other answer. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** HTTP status, or the code of a Status that came as an event of a watch. */
  readonly status: number;
  /** `NotFound`, `Forbidden`, `Conflict`, `Expired`, ...; empty where the answer names none. */
  readonly reason: string;
  /** Milliseconds that the server asks to wait. */
  readonly retryAfter: number | undefined;

  constructor(status: number, reason: string, message: string, retryAfter?: number) {
    super(message);
    this.status = status;
    this.reason = reason;
    this.retryAfter = retryAfter;
  }

  /** The resourceVersion is too old to go on from, or is of a future that the server has lost: only a new list helps. */
  get isExpired(): boolean {
    return this.status === 410 || this.reason === 'Expired' || this.reason === 'Gone' || /too large resource version/i.test(this.message);
  }
}

export type ConnectionFault =
  /** No connection: refused, no route, no such name, a proxy in between that fails. */
  | 'Unreachable'
  /** The certificates of one side are not the other's liking. */
  | 'Tls'
  /** No answer, or none of the bytes that should have come, in time. */
  | 'TimedOut'
  /** Ended in the middle. */
  | 'Cut'
  /** Bytes that are not what an API server sends. */
  | 'Malformed';

/** No answer of the API server, or no whole one. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  readonly fault: ConnectionFault;

  constructor(fault: ConnectionFault, message: string, options?: ErrorOptions) {
    super(message, options);
    this.fault = fault;
  }
}

/** What should tell us where the API server is, or who we are, does not: a kubeconfig, a token file, an exec plugin. */
export class CredentialsError extends Error {
  override readonly name = 'CredentialsError';
}

/** One word for metrics and logs: the HTTP status' reason, the kind of fault, or `Internal` for what should not happen. */
export function reasonOf(error: unknown): string {
  if (error instanceof ApiError) return error.reason === '' ? `Http${error.status}` : error.reason;
  if (error instanceof ConnectionError) return error.fault;
  return error instanceof CredentialsError ? 'Credentials' : 'Internal';
}

/** Of anything that was thrown: its message on one line. */
export function oneLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.trim().replaceAll(/\s*[\r\n]+\s*/g, ' ');
}
