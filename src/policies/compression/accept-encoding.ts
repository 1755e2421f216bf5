import type { Coding } from '../../snapshot/body-filters.ts';

/** RFC 9110 section 12.4.2. */
const WEIGHT = /^q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/i;
/** What a client that says nothing of `identity` thinks of it: any coding that it names is better. */
const UNSAID = 0.0001;

/**
 * Which coding an answer gets (RFC 9110 section 12.5.3).
 * @param header value of Accept-Encoding; empty: the client has sent none, or names none
 * @param algorithms at equal weight the first one is taken
 * @returns undefined: none, also where the client would rather have that, and where it takes nothing that there is
 */
export function negotiate(header: string, algorithms: readonly Coding[]): Coding | undefined {
  const weights = new Map<string, number>();
  for (const item of header.toLowerCase().split(',')) {
    const [coding = '', ...parameters] = item.split(';').map((part) => part.trim());
    const weight = weightOf(parameters);
    if (coding === '' || weight === undefined) continue;
    // Who says two things of one coding means the worse one.
    const name = coding === 'x-gzip' ? 'gzip' : coding;
    weights.set(name, Math.min(weights.get(name) ?? 1, weight));
  }
  let best: Coding | undefined;
  let bestWeight = weights.get('identity') ?? UNSAID;
  for (const algorithm of algorithms) {
    const weight = weights.get(algorithm) ?? weights.get('*') ?? 0;
    // A coding is as good as none for the client, and better for the way to it.
    if (weight > bestWeight || (best === undefined && weight > 0 && weight === bestWeight)) {
      best = algorithm;
      bestWeight = weight;
    }
  }
  return best;
}

function weightOf([parameter, ...others]: readonly string[]): number | undefined {
  if (parameter === undefined) return 1;
  const weight = others.length === 0 ? WEIGHT.exec(parameter)?.[1] : undefined;
  return weight === undefined ? undefined : Number(weight);
}
