/** The share of what it would get that an endpoint begins with. */
export const FIRST_SHARE = 0.1;

/** Shares are set anew so often while they grow: 1 % at a time. */
export const STEPS = 100;

/**
 * How much of its full share an endpoint gets: it grows evenly from a tenth to all of it.
 * @param inUseFor, duration milliseconds
 */
export function grownShare(inUseFor: number, duration: number): number {
  if (!(inUseFor < duration)) return 1;
  return FIRST_SHARE + (1 - FIRST_SHARE) * (Math.max(0, inUseFor) / duration);
}
