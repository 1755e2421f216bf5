import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Authority } from '../../../test/certificates/authority.ts';
import type { Exchange } from '../../exchange/exchange.ts';
import type { HostPattern } from '../../snapshot/match.ts';
import type { Route } from '../../snapshot/route.ts';
import type { ClientValidation } from '../../snapshot/tls.ts';
import { ClientCertificate } from '../../wire/client-certificate.ts';
import { ClientValidations } from './client-validations.ts';

const DAY = 86_400_000;
const authority = new Authority('Client Root');
const good = der(authority.issue({ subject: 'client' }).cert);

function der(pem: string): Buffer {
  return Buffer.from(pem.split('-----')[2] as string, 'base64');
}

const strict: ClientValidation = { id: 'strict', mode: 'Require', authorities: [authority.cert], revocationLists: [] };
const lenient: ClientValidation = { id: 'lenient', mode: 'Request', authorities: [authority.cert], revocationLists: [] };
const exact = (value: string): HostPattern => ({ type: 'Exact', value });

const validations = ClientValidations.compile({
  policies: new Map([
    ['strict', strict],
    ['lenient', lenient],
  ]),
  hosts: [
    { host: exact('strict.test'), validation: 'strict' },
    { host: exact('lenient.test'), validation: 'lenient' },
    { host: { type: 'Suffix', value: 'wild.test' }, validation: 'strict' },
    { host: exact('open.wild.test') },
  ],
});

interface Given {
  readonly host: string;
  /** Absent: plain HTTP. */
  readonly sni?: string;
  readonly certificate?: ClientCertificate;
}

function exchange({ host, sni, certificate }: Given): Exchange {
  const tls =
    sni === undefined
      ? undefined
      : { version: 'TLSv1.3', serverName: sni, resumed: false, alpn: '', ...(certificate === undefined ? {} : { clientCertificate: certificate }) };
  return { host, tls } as unknown as Exchange;
}

function reason(given: Given, route: Partial<Route> = {}): string {
  const made = exchange(given);
  const reply = validations.judge(made) ?? validations.judgeRoute(made, route as Route);
  return reply === undefined ? 'served' : `${reply.status} ${reply.reason}`;
}

const shown = (validation: string, failure?: string): ClientCertificate => new ClientCertificate(validation, good, failure);
const none = (validation: string): ClientCertificate => new ClientCertificate(validation, undefined, undefined);

test('hosts that ask for nothing serve everybody', () => {
  for (const host of ['other.test', 'open.wild.test', '']) {
    assert.equal(reason({ host }), 'served');
    assert.equal(reason({ host, sni: host }), 'served');
    assert.equal(reason({ host, sni: 'another.test' }), 'served');
  }
  assert.equal(ClientValidations.compile(undefined).isEmpty, true);
});

test('Require serves who has a good certificate, Request everybody', () => {
  assert.equal(reason({ host: 'strict.test', sni: 'strict.test', certificate: shown('strict') }), 'served');
  assert.equal(reason({ host: 'strict.test', sni: 'Strict.TEST.', certificate: shown('strict') }), 'served');
  assert.equal(reason({ host: 'a.b.wild.test', sni: 'a.b.wild.test', certificate: shown('strict') }), 'served');
  assert.equal(reason({ host: 'strict.test', sni: 'strict.test', certificate: none('strict') }), '403 client_certificate_required');
  for (const [failure, word] of [
    ['CERT_HAS_EXPIRED', 'expired'],
    ['CERT_REVOKED', 'revoked'],
    ['UNABLE_TO_GET_CRL', 'no_revocation_list'],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'untrusted'],
    ['INVALID_PURPOSE', 'invalid'],
  ] as const) {
    assert.equal(reason({ host: 'strict.test', sni: 'strict.test', certificate: shown('strict', failure) }), `403 client_certificate_${word}`);
    assert.equal(reason({ host: 'lenient.test', sni: 'lenient.test', certificate: shown('lenient', failure) }), 'served');
  }
  assert.equal(reason({ host: 'lenient.test', sni: 'lenient.test', certificate: none('lenient') }), 'served');
});

test('a certificate that has expired since the handshake is good no more', () => {
  const late = der(authority.issue({ subject: 'late', notBefore: new Date(Date.now() - 9 * DAY), notAfter: new Date(Date.now() - DAY) }).cert);
  assert.equal(
    reason({ host: 'strict.test', sni: 'strict.test', certificate: new ClientCertificate('strict', late, undefined) }),
    '403 client_certificate_expired',
  );
});

test('a connection that was made for another host is misdirected, either way', () => {
  assert.equal(reason({ host: 'strict.test', sni: 'other.test' }), '421 misdirected_request');
  assert.equal(reason({ host: 'strict.test', sni: '' }), '421 misdirected_request');
  assert.equal(reason({ host: 'other.test', sni: 'strict.test', certificate: shown('strict') }), '421 misdirected_request');
  assert.equal(reason({ host: 'strict.test', sni: 'lenient.test', certificate: shown('lenient') }), '421 misdirected_request');
  // The same is asked for.
  assert.equal(reason({ host: 'a.wild.test', sni: 'strict.test', certificate: shown('strict') }), 'served');
});

test('a connection from before the host asked as it does now is misdirected', () => {
  assert.equal(reason({ host: 'strict.test', sni: 'strict.test' }), '421 misdirected_request');
  assert.equal(reason({ host: 'strict.test', sni: 'strict.test', certificate: shown('before') }), '421 misdirected_request');
});

test('plain HTTP is never served', () => {
  assert.equal(reason({ host: 'strict.test' }), '403 client_certificate_plain_http');
  assert.equal(reason({ host: 'lenient.test' }), '403 client_certificate_plain_http');
  assert.equal(reason({ host: 'other.test' }, { clientValidation: 'strict' }), '403 client_certificate_plain_http');
});

test('a route that asks in another way than its host is closed there', () => {
  const certificate = shown('strict');
  assert.equal(reason({ host: 'strict.test', sni: 'strict.test', certificate }, { clientValidation: 'strict' }), 'served');
  assert.equal(reason({ host: 'strict.test', sni: 'strict.test', certificate }, { clientValidation: 'lenient' }), '403 client_certificate_other_host');
  assert.equal(reason({ host: 'open.wild.test', sni: 'open.wild.test' }, { clientValidation: 'strict' }), '403 client_certificate_other_host');
  assert.equal(reason({ host: 'strict.test', sni: 'strict.test', certificate }), 'served');
});
