/** References to one value of a Secret, in the namespace of the object that has them. */
import { dnsSubdomain, quote, text } from '../fields.ts';
import { strictObject } from '../strict-object.ts';

export const secretKey = text(
  (value) =>
    /^[-._a-zA-Z0-9]{1,253}$/.test(value) ? undefined : { message: `${quote(value)} is not a key of a Secret`, hint: 'use letters, digits, -, _ and .' },
  { pattern: /^[-._a-zA-Z0-9]+$/, minLength: 1, maxLength: 253 },
);

export const secretReference = strictObject({
  name: dnsSubdomain.describe('Name of the Secret, in the same namespace.'),
  key: secretKey.describe('Key within its data.'),
});

/** A value of a Secret. */
export interface SecretReference {
  readonly name: string;
  readonly key: string;
}
