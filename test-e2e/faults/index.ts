/** Every fault that is tried, by number. */
import { apiServerDown, startedWithoutApiServer } from './api-server-down.ts';
import type { Fault } from './fault.ts';
import { ingressChurn } from './ingress-churn.ts';
import { invalidObjects } from './invalid-objects.ts';
import { leaderLost, sigterm } from './replicas.ts';
import { secretRotation } from './secret-rotation.ts';
import { compaction, silentWatch } from './watches.ts';
import { workerKilled } from './worker-killed.ts';

export const FAULTS: readonly Fault[] = [
  apiServerDown,
  startedWithoutApiServer,
  compaction,
  silentWatch,
  secretRotation,
  invalidObjects,
  ingressChurn,
  sigterm,
  workerKilled,
  leaderLost,
];
