/** Values of Secrets that objects of the same namespace name. */
import type { Entries, Problem } from '../resources/resource-set.ts';
import type { Secret } from '../resources/secret.ts';
import type { Sensitive } from '../snapshot/sensitive.ts';

/**
 * @param field path of the reference
 * @param consequence what comes of it where there is none, as the end of a sentence
 */
export function secretValue(
  secrets: Entries<Secret>,
  namespace: string,
  { name, key }: { readonly name: string; readonly key: string },
  field: string,
  consequence: string,
): { readonly value: Sensitive } | { readonly problem: Problem } {
  const entry = secrets.get(`${namespace}/${name}`);
  const what = `Secret ${namespace}/${name}`;
  const problem = (severity: Problem['severity'], message: string, hint: string, end: 'name' | 'key' = 'name'): { readonly problem: Problem } => ({
    problem: { severity, reason: 'InvalidSecretRef', field: `${field}.${end}`, message: `${message}: ${consequence}`, hint },
  });
  if (entry === undefined) return problem('warning', `${what} does not exist`, `create it, with a value under ${key}`);
  if (entry.object === undefined) return problem('warning', `${what} is not valid`, 'mend the Secret');
  const { values = {}, tls } = entry.object;
  if (tls !== undefined) return problem('error', `${what} is of type kubernetes.io/tls`, 'name a Secret of type Opaque');
  const value = Object.hasOwn(values, key) ? values[key] : undefined;
  if (value === undefined) {
    const keys = Object.keys(values).slice(0, 10);
    const there = keys.length === 0 ? 'it is empty' : `it has ${keys.join(', ')}`;
    return problem('error', `${what} has no key ${JSON.stringify(key)}`, `put the value under ${key}; ${there}`, 'key');
  }
  if (value.reveal() === '') return problem('error', `${JSON.stringify(key)} of ${what} is empty`, `put the value under ${key}`, 'key');
  return { value };
}
