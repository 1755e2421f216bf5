/** What of a request tells requests apart: key parts of rate limits, and what a consistent hash looks at. */
import { z } from 'zod';
import { requestHead } from '../expressions/environments.ts';
import { checkExpression } from '../expressions/expression.ts';
import { cookieName, headerNameFlaw, oneOf, quote } from './fields.ts';
import { type Flaw, flaws, strictObject } from './strict-object.ts';

const NAMED = ['Header', 'Cookie', 'QueryParam', 'Claim'] as const;

/** @param types those that are there; Header, Cookie, QueryParam and Claim have a name, Expression an expression */
export function requestPart<const Types extends readonly [string, ...string[]]>(types: Types, description: string) {
  const named = NAMED.filter((type) => types.includes(type));
  const hasExpression = types.includes('Expression');
  return strictObject(
    {
      type: oneOf(types).describe(description),
      name: z
        .string()
        .min(1)
        .max(256)
        .exactOptional()
        .describe(`Name of the header, cookie${types.includes('Claim') ? ', query parameter or claim' : ' or query parameter'}.`),
      ...(hasExpression && {
        expression: z.string().min(1).exactOptional().describe('CEL that gives a text, a number, or null where there is none; of type Expression.'),
      }),
    } as { type: ReturnType<typeof oneOf<Types>>; name: z.ZodExactOptional<z.ZodString>; expression: z.ZodExactOptional<z.ZodString> },
    {
      cel: [
        {
          rule: `has(self.name) == (self.type in [${named.map((type) => `'${type}'`).join(', ')}])`,
          message: `${named.slice(0, -1).join(', ')} and ${named.at(-1)} need a name, the other types take none`,
        },
        ...(hasExpression
          ? [{ rule: "has(self.expression) == (self.type == 'Expression')", message: 'type Expression, and no other, needs an expression' }]
          : []),
      ],
    },
  )
    .superRefine(flaws(({ type, name, expression }) => nameFlaw(type, name) ?? expressionFlaw(type, expression)))
    .transform(({ type, name, expression }) => ({
      type,
      ...(name === undefined ? {} : { name: type === 'Header' ? name.toLowerCase() : name }),
      ...(expression === undefined ? {} : { expression }),
    }));
}

function nameFlaw(type: string, name: string | undefined): Flaw | undefined {
  const path = ['name'];
  if (!(NAMED as readonly string[]).includes(type))
    return name === undefined ? undefined : { message: `type ${type} takes no name`, hint: 'leave name out', path };
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

function expressionFlaw(type: string, expression: string | undefined): Flaw | undefined {
  const path = ['expression'];
  if (type !== 'Expression') return expression === undefined ? undefined : { message: `type ${type} takes no expression`, hint: 'leave expression out', path };
  if (expression === undefined) return { message: 'type Expression needs an expression', hint: 'write { type: Expression, expression: "..." }', path };
  const flaw = checkExpression(expression, requestHead, 'textOrNull');
  return flaw === undefined ? undefined : { ...flaw, path };
}
