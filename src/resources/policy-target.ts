/** `targetRefs` of a policy (Gateway API GEP-713): objects of its own namespace. */
import { z } from 'zod';
import { dnsSubdomain, oneOf, quote, text } from './fields.ts';
import { flaws, strictObject } from './strict-object.ts';

/**
 * @param kinds the kinds that the policy attaches to, with the group of each
 * @param section what `sectionName` names
 */
export function targetRefs<const Kinds extends readonly [string, ...string[]]>(kinds: Kinds, groups: Readonly<Record<Kinds[number], string>>, section: string) {
  const described = kinds.map((kind) => (groups[kind as Kinds[number]] === '' ? kind : `${kind} of ${groups[kind as Kinds[number]]}`)).join(' or ');
  const target = strictObject(
    {
      group: z.string().max(253).exactOptional().describe('API group of the kind; may be left out.'),
      kind: oneOf(kinds).describe(`Kind of the target: ${described}.`),
      name: dnsSubdomain.describe("Its name, in the policy's own namespace."),
      sectionName: text((value) => (value === '' ? { message: 'sectionName is empty', hint: `name ${section}, or leave it out` } : undefined), {
        minLength: 1,
        maxLength: 253,
      })
        .exactOptional()
        .describe(`Narrows the policy to ${section}.`),
    },
    {
      cel: kinds.map((kind) => ({
        rule: `self.kind != '${kind}' || !has(self.group) || self.group == '${groups[kind as Kinds[number]]}'`,
        message: `the group of kind ${kind} is ${JSON.stringify(groups[kind as Kinds[number]])}`,
      })),
    },
  )
    .superRefine(
      flaws((ref) => {
        const group = groups[ref.kind as Kinds[number]];
        if (ref.group === undefined || ref.group === group) return undefined;
        return { message: `${ref.kind} is not a kind of group ${quote(ref.group)}`, hint: `write group: ${group === '' ? '""' : group}`, path: ['group'] };
      }),
    )
    .transform((ref) => ({
      group: groups[ref.kind as Kinds[number]],
      kind: ref.kind as Kinds[number],
      name: ref.name,
      ...(ref.sectionName === undefined ? {} : { sectionName: ref.sectionName }),
    }));
  return z.array(target).min(1).max(16).describe('What the policy attaches to.').meta({ 'x-kubernetes-list-type': 'atomic' });
}
