/** Decoded objects as entries of a ResourceSet. */
import type { Decoded } from './decode.ts';
import type { Entry, ObjectKey } from './resource-set.ts';

/** What a ResourceSet's maps call an object. */
export function objectKey({ namespace, name }: { readonly namespace: string; readonly name: string }): ObjectKey {
  return namespace === '' ? name : `${namespace}/${name}`;
}

/**
 * @param decoded the newest version: it says what the object is called
 * @param rest what the source adds; `object`: the newest version that is good, undefined when there never was one
 */
export function makeEntry(
  { kindName, namespace, name, generation, closes }: Decoded,
  { object, ...rest }: Pick<Entry<unknown>, 'age' | 'origin' | 'problems'> & { readonly object: unknown },
): Entry<unknown> {
  const closing = object === undefined && closes !== undefined ? { closes } : {};
  return { kind: kindName, namespace, name, generation, ...rest, ...(object === undefined ? closing : { object }) };
}
