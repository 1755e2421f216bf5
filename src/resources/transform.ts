/** Transforms of an ApiRoute's rule. */
import { z } from 'zod';
import { wholeRequest, wholeResponse } from '../expressions/environments.ts';
import { checkExpression } from '../expressions/expression.ts';
import { expression } from './expression-text.ts';
import { headerNameFlaw, quote } from './fields.ts';
import { ownedFlaw } from './owned-fields.ts';
import { type Flaw, flaws, strictObject } from './strict-object.ts';

const MAX_HEADERS = 32;

function headerFlaws(headers: Readonly<Record<string, string>>): Flaw[] {
  const found: Flaw[] = [];
  const seen = new Set<string>();
  for (const [name, source] of Object.entries(headers)) {
    const lower = name.toLowerCase();
    const flaw = headerNameFlaw(name) ?? checkExpression(source, wholeResponse, 'textOrNull');
    if (flaw !== undefined) found.push({ ...flaw, path: [name] });
    found.push(...ownedFlaw(lower, [name]));
    if (seen.has(lower)) found.push({ message: `${quote(name)} is there twice, in another case`, hint: 'keep one of them', path: [name] });
    seen.add(lower);
  }
  if (seen.size > MAX_HEADERS) found.push({ message: `there are ${seen.size} headers`, hint: `keep it within ${MAX_HEADERS}` });
  return found;
}

const request = strictObject({
  body: expression(wholeRequest, 'json').describe(
    'CEL for the body that the backend gets, as JSON. It sees request, with the body of the client as request.body, and identity.',
  ),
}).describe('What the backend gets. Requests without a body pass as they are, but for POST, PUT and PATCH.');

const response = strictObject({
  body: expression(wholeResponse, 'json')
    .exactOptional()
    .describe("CEL for the body that the client gets, as JSON. It sees response, with the backend's body as response.body, request and identity."),
  status: expression(wholeResponse, 'int').exactOptional().describe('CEL for the status, an int from 200 to 599.'),
  headers: z
    .record(z.string(), z.string().min(1))
    .superRefine(flaws(headerFlaws))
    .default({})
    .describe('CEL for header values, by name: a text or a number; null: no such header.'),
})
  .superRefine(
    flaws((value) =>
      value.body === undefined && value.status === undefined && Object.keys(value.headers).length === 0
        ? { message: 'response changes nothing', hint: 'write body, status, headers or several of them' }
        : undefined,
    ),
  )
  .transform(({ headers, ...rest }) => ({
    ...rest,
    headers: Object.entries(headers).map(([name, source]) => ({ name: name.toLowerCase(), expression: source })),
  }))
  .describe("What the client gets in place of the backend's answer. The gateway's own answers stay as they are.");

export const transformSchema = strictObject({ request: request.exactOptional(), response: response.exactOptional() })
  .superRefine(
    flaws((value) =>
      value.request === undefined && value.response === undefined
        ? { message: 'transform changes nothing', hint: 'write request, response or both' }
        : undefined,
    ),
  )
  .describe('Makes other bodies of the JSON that passes through, held up to 1 MiB each.');
