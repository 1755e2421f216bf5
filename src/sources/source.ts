import type { ResourceSet } from '../resources/resource-set.ts';

/** Where objects come from: a folder of manifests, or an API server. */
export interface Source {
  /**
   * Reads everything once and begins to watch.
   * @returns the first set
   * @throws FolderError (or what another source has in its place) where there is nothing to read at all
   */
  start(): Promise<ResourceSet>;

  /**
   * @param listener called with each later set that differs from the one before
   * @returns ends the subscription
   */
  onChange(listener: (set: ResourceSet) => void): () => void;

  /** Ends watching; no listener is called after it. */
  close(): Promise<void>;
}

/** Said once for each thing that happens; messages are constants. */
export type SourceLog = (level: 'info' | 'warn' | 'error', message: string, fields: Readonly<Record<string, unknown>>) => void;
