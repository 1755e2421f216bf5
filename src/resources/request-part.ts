/** What of a request tells requests apart: key parts of rate limits, and what a consistent hash looks at. */
import { z } from 'zod';
import { cookieName, headerNameFlaw, oneOf, quote } from './fields.ts';
import { type Flaw, flaws, strictObject } from './strict-object.ts';

const NAMED = new Set(['Header', 'Cookie', 'QueryParam']);

/**
 * @param types those that are there; Header, Cookie and QueryParam have a name, the others none
 * @param laterTypes, laterFields of the format that this version does not serve
 */
export function requestPart<const Types extends readonly [string, ...string[]]>(
  types: Types,
  description: string,
  { laterTypes = [], laterFields = [] }: { readonly laterTypes?: readonly string[]; readonly laterFields?: readonly string[] } = {},
) {
  return strictObject(
    {
      type: oneOf(types, laterTypes).describe(description),
      name: z.string().min(1).max(256).exactOptional().describe('Name of the header, cookie or query parameter.'),
    },
    {
      later: laterFields,
      cel: [
        {
          rule: "has(self.name) == (self.type in ['Header', 'Cookie', 'QueryParam'])",
          message: 'Header, Cookie and QueryParam need a name, the other types take none',
        },
      ],
    },
  )
    .superRefine(flaws(({ type, name }) => nameFlaw(type, name)))
    .transform(({ type, name }) => ({ type, ...(name === undefined ? {} : { name: type === 'Header' ? name.toLowerCase() : name }) }));
}

function nameFlaw(type: string, name: string | undefined): Flaw | undefined {
  const path = ['name'];
  if (!NAMED.has(type)) return name === undefined ? undefined : { message: `type ${type} takes no name`, hint: 'leave name out', path };
  if (name === undefined) return { message: `type ${type} needs a name`, hint: `write { type: ${type}, name: ... }`, path };
  if (type === 'Header') {
    const flaw = headerNameFlaw(name);
    return flaw === undefined ? undefined : { ...flaw, path };
  }
  if (type === 'Cookie' && !cookieName.safeParse(name).success) {
    return { message: `${quote(name)} is not a cookie name`, hint: 'use letters, digits, - and _', path };
  }
  return undefined;
}
