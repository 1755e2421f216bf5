import type { EndpointState } from '../endpoint-state.ts';
import { TwoChoices } from './two-choices.ts';

/** Of two, the one with fewer requests under way from the whole pod. */
export class LeastRequest extends TwoChoices {
  protected override load(_endpoint: EndpointState, inFlight: number): number {
    return inFlight;
  }
}
