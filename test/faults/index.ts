/** Every fault that needs no cluster, by number. */
import { killedBeforeHeaders, killedMidBody, resetOnReuse } from './backend-killed.ts';
import { allDown, halfOpen, slowBackend } from './backend-stuck.ts';
import { endpointRemoved } from './endpoint-removed.ts';
import type { DataPlaneFault } from './fault.ts';
import { floods } from './floods.ts';
import { identityDown } from './identity-down.ts';
import { redisDown } from './redis-down.ts';
import { slowReaders } from './slow-readers.ts';
import { soak } from './soak.ts';
import { clockJumps, logBlocked, namesFail } from './surroundings.ts';
import { descriptorsUsedUp, memoryShort } from './used-up.ts';

export const DATA_PLANE_FAULTS: readonly DataPlaneFault[] = [
  killedBeforeHeaders,
  killedMidBody,
  resetOnReuse,
  halfOpen,
  slowBackend,
  allDown,
  slowReaders,
  endpointRemoved,
  redisDown,
  identityDown,
  namesFail,
  clockJumps,
  logBlocked,
  memoryShort,
  descriptorsUsedUp,
  floods,
  soak,
];
