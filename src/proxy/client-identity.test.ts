import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Exchange } from '../exchange/exchange.ts';
import { Fields } from '../exchange/fields.ts';
import { NO_BODY } from '../exchange/streams.ts';
import { ClientIdentity } from './client-identity.ts';

function exchange(peer: string, fields: Readonly<Record<string, string>>, authority = 'a.test'): Exchange {
  const made = new Fields();
  for (const [name, value] of Object.entries(fields)) made.append(name, value);
  const head = { method: 'GET', path: '/', query: '', scheme: 'http' as const, authority, host: 'a.test', protocol: 'HTTP/1.1', fields: made, headBytes: 100 };
  return new Exchange(head, { requestBody: NO_BODY } as never, { remoteAddress: peer, remotePort: 1, localPort: 8080, tls: undefined }, 0);
}

test('an untrusted peer is the client, whatever it says', () => {
  const made = exchange('203.0.113.7', { 'X-Forwarded-For': '10.0.0.1', 'X-Forwarded-Proto': 'https', 'Client-Cert': 'x', 'X-Forwarded-Prefix': '/x' });
  new ClientIdentity(['10.0.0.0/8']).stamp(made);
  assert.equal(made.clientAddress, '203.0.113.7');
  assert.equal(made.scheme, 'http');
  assert.deepEqual(made.requestFields.getAll('x-forwarded-for'), ['203.0.113.7']);
  assert.equal(made.requestFields.has('client-cert'), false);
  assert.equal(made.requestFields.has('x-forwarded-prefix'), false);
});

test('from a trusted peer the client is the rightmost untrusted address, and its fields are kept', () => {
  const made = exchange('10.0.0.9', {
    'X-Forwarded-For': '6.6.6.6, 203.0.113.7, 10.0.0.3',
    'X-Forwarded-Proto': 'https',
    'X-Forwarded-Host': 'outer.test',
    Forwarded: 'for=203.0.113.7',
  });
  new ClientIdentity(['10.0.0.0/8']).stamp(made);
  assert.equal(made.clientAddress, '203.0.113.7');
  assert.equal(made.scheme, 'https');
  assert.equal(made.requestFields.get('x-forwarded-for'), '6.6.6.6, 203.0.113.7, 10.0.0.3, 10.0.0.9');
  assert.equal(made.requestFields.get('x-forwarded-host'), 'outer.test');
  assert.equal(made.requestFields.get('forwarded'), 'for=203.0.113.7');
  assert.equal(made.requestFields.get('x-forwarded-port'), '443');
  assert.equal(made.requestFields.get('x-real-ip'), '203.0.113.7');
});

test('what is no address ends the search: the hop that a trusted proxy wrote is the client', () => {
  const made = exchange('10.0.0.9', { 'X-Forwarded-For': '<script>, 10.0.0.3' });
  new ClientIdentity(['10.0.0.0/8']).stamp(made);
  assert.equal(made.clientAddress, '10.0.0.3');
});

test('addresses with ports and brackets', () => {
  for (const [sent, client] of [
    ['203.0.113.7:1234', '203.0.113.7'],
    ['[2001:db8::1]:443', '2001:db8::1'],
    ['2001:db8::1', '2001:db8::1'],
  ] as const) {
    const made = exchange('10.0.0.9', { 'X-Forwarded-For': sent });
    new ClientIdentity(['10.0.0.0/8']).stamp(made);
    assert.equal(made.clientAddress, client);
  }
});

test('the port is the one that the client used', () => {
  for (const [authority, port] of [
    ['a.test', '80'],
    ['a.test:8080', '8080'],
    ['[::1]', '80'],
    ['[::1]:81', '81'],
  ] as const) {
    const made = exchange('203.0.113.7', {}, authority);
    new ClientIdentity([]).stamp(made);
    assert.equal(made.requestFields.get('x-forwarded-port'), port);
  }
});

test('what the requests of a connection have in common is told anew when host or scheme changes', () => {
  const peer = { remoteAddress: '203.0.113.7', remotePort: 1, localPort: 8080, tls: undefined };
  const identity = new ClientIdentity([]);
  const told = (authority: string, scheme: 'http' | 'https') => {
    const head = { method: 'GET', path: '/', query: '', scheme, authority, host: 'a.test', protocol: 'HTTP/1.1', fields: new Fields(), headBytes: 100 };
    const made = new Exchange(head, { requestBody: NO_BODY } as never, peer, 0);
    identity.stamp(made);
    return ['for', 'proto', 'host', 'port'].map((name) => made.requestFields.get(`x-forwarded-${name}`));
  };
  for (let time = 0; time < 3; time++) assert.deepEqual(told('a.test', 'http'), ['203.0.113.7', 'http', 'a.test', '80']);
  assert.deepEqual(told('b.test:81', 'http'), ['203.0.113.7', 'http', 'b.test:81', '81']);
  assert.deepEqual(told('', 'http'), ['203.0.113.7', 'http', undefined, '80']);
  for (let time = 0; time < 3; time++) assert.deepEqual(told('a.test', 'https'), ['203.0.113.7', 'https', 'a.test', '443']);
});
