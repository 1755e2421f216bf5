/** Every fault that needs no cluster, by number. */
import { resetOnReuse } from './backend-killed.ts';
import { halfOpen, slowBackend } from './backend-stuck.ts';
import { endpointRemoved } from './endpoint-removed.ts';
import type { DataPlaneFault } from './fault.ts';
import { floods } from './floods.ts';
import { soak } from './soak.ts';
import { clockJumps, logBlocked, namesFail } from './surroundings.ts';

export const DATA_PLANE_FAULTS: readonly DataPlaneFault[] = [
  resetOnReuse,
  halfOpen,
  slowBackend,
  endpointRemoved,
  namesFail,
  clockJumps,
  logBlocked,
  floods,
  soak,
];
