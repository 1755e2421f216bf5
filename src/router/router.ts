/** Finding the route of a request. Two implementations, one suite: the linear oracle and the host table with path tries. */
import type { Route } from '../snapshot/route.ts';

/** What matching looks at. `Exchange` is one. */
export interface Routable {
  readonly host: string;
  /** Normalised. */
  readonly path: string;
  readonly method: string;
  readonly scheme: 'http' | 'https';
  readonly clientAddress: string;
  /** @param name lower-case */
  headerValues(name: string): readonly string[];
  queryParam(name: string): string | undefined;
  cookie(name: string): string | undefined;
}

export interface Found<T> {
  readonly value: T;
  /** Index into `route.matches` of the match that won (ReplacePrefixMatch needs its path). */
  readonly matchIndex: number;
}

export interface Router<T> {
  find(request: Routable): Found<T> | undefined;
}

/** @throws nothing: regular expressions were checked when the objects were read */
export type CompileRouter = <T>(routes: readonly Route[], value: (route: Route) => T) => Router<T>;
