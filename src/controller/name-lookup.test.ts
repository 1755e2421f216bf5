import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemLookup, withRoutes } from './name-lookup.ts';

test('names of the hosts file are known', async () => {
  assert.ok((await systemLookup('localhost')).includes('127.0.0.1'));
});

test('a name that can be none is refused without a question to anybody', async () => {
  // A label of more than 63 characters never leaves the machine (RFC 1035 section 2.3.4).
  await assert.rejects(systemLookup(`${'a'.repeat(64)}.invalid`), { syscall: 'getaddrinfo' });
});

test('of addresses of both families, those without a route are left out', async () => {
  // Without a zone there is no route to a link-local address on any machine.
  assert.deepEqual(await withRoutes(['fe80::1', '127.0.0.1']), ['127.0.0.1']);
  assert.deepEqual(await withRoutes(['fe80::1', 'fe80::2']), ['fe80::1', 'fe80::2']);
  assert.deepEqual(await withRoutes(['127.0.0.2', '127.0.0.1']), ['127.0.0.2', '127.0.0.1']);
});
