/** Where the API server says that it is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiServerAddresses } from './api-server-addresses.ts';
import { ObjectStore } from './object-store.ts';

test('of servers that are replaced again and again the newest addresses are known, and the one in use', async (t) => {
  let asked = 0;
  // One of two servers behind the address that we are given is always the same.
  const request = async (): Promise<never> => {
    asked++;
    const serverAddress = asked % 2 === 0 ? '192.0.2.1:6443' : `192.0.2.${100 + asked}`;
    return { serverAddressByClientCIDRs: [{ serverAddress }, null, { serverAddress: 7 }] } as never;
  };
  const reached = Promise.withResolvers<void>();
  const addresses = new ApiServerAddresses(
    { server: 'https://192.0.2.9:6443', request },
    () => {
      if (asked >= 99) reached.resolve();
    },
    1,
  );
  // Its own timers keep no process alive.
  const alive = setInterval(() => {}, 1000);
  t.after(() => {
    clearInterval(alive);
    addresses.close();
  });
  await reached.promise;
  const found = new Set(addresses.of(new ObjectStore('test', () => {}).current));
  for (const known of ['192.0.2.9 6443', '192.0.2.1 6443', '192.0.2.199 443', '192.0.2.171 443']) assert.ok(found.has(known), known);
  assert.ok(!found.has('192.0.2.101 443'), 'the first one is of long ago');
  assert.equal(found.size, 33);
});
