/** Where snapshots go: the workers. */
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Endpoint, UpstreamKey } from '../snapshot/upstream.ts';

export interface Publisher {
  /** A whole snapshot takes the place of the one before. */
  snapshot(snapshot: Snapshot): void;

  /**
   * The last snapshot stays in force but for the endpoints of these upstreams; called only after `snapshot`, and with
   * upstreams of that snapshot alone.
   * @param changes whole lists, sorted; an empty one means that no endpoint is left
   */
  endpoints(changes: ReadonlyMap<UpstreamKey, readonly Endpoint[]>): void;
}
