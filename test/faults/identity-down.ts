/** What says who may call goes away, in each of its forms. */
import { authorizerDown } from './external-authorization.ts';
import type { DataPlaneFault } from './fault.ts';
import { Findings } from './findings.ts';
import { keysDown } from './keys-down.ts';

export const identityDown: DataPlaneFault = {
  number: 17,
  name: 'External authorization or a key set down',
  passes: `external authorization: ${authorizerDown.passes}. Key sets: ${keysDown.passes}`,
  async run(place) {
    const [service, keys] = [await authorizerDown.run(place), await keysDown.run(place)];
    const findings = new Findings(`${service.done}. Then ${keys.done}`);
    for (const { measured, failures } of [service, keys]) {
      findings.measured.push(...measured);
      findings.failures.push(...failures);
    }
    return findings;
  },
};
