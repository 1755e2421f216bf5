/** What threads say to each other about documents. It crosses by structured clone. */
import { performance } from 'node:perf_hooks';
import { SHARED_OFFSET } from '../exchange/shared-clock.ts';
import type { FetchFailure } from './fetcher.ts';

export type DocumentFailure = FetchFailure | 'redirected' | 'bad_status' | 'bad_content';

/** A document as the pod has it. Times are milliseconds of `sharedNow`. */
export interface DocumentState {
  readonly key: string;
  /** The last good one; undefined: there has been none. */
  readonly text: string | undefined;
  /** Another number when `text` is another one; 0: there is none. */
  readonly revision: number;
  /** When the call for the last good one began. */
  readonly fetchedAt: number;
  /** Why the last try came to nothing; undefined: it went well. */
  readonly failure: DocumentFailure | undefined;
  /** Before that nobody need ask for it to be fetched again. */
  readonly refetchFrom: number;
}

/** Milliseconds on a monotonic clock that is the same for all threads of the process. */
export function sharedNow(): number {
  return performance.now() + SHARED_OFFSET;
}
