import assert from 'node:assert/strict';
import diagnostics from 'node:diagnostics_channel';
import type { Server } from 'node:http';
import { constants } from 'node:os';
import { test } from 'node:test';
import { AdminServer, type AdminViews } from './admin-server.ts';

const nothing: AdminViews = {
  ready: () => ({ ready: true, reason: '' }),
  metrics: async () => ({ status: 200, contentType: 'text/plain', body: '' }),
  snapshot: () => null,
  explain: () => ({ json: null, text: '' }),
  purge: () => 0,
};

/** What libuv calls for each connection, and for one that could not be accepted. */
interface Accepting {
  readonly _handle: { onconnection(status: number): void };
}

test('a connection that can not be accepted for want of a file descriptor ends nothing', async () => {
  let server: Server | undefined;
  const onRequest = (message: unknown): void => {
    server = (message as { readonly server: Server }).server;
  };
  const admin = new AdminServer(nothing, () => assert.fail());
  const url = `http://127.0.0.1:${await admin.listen('127.0.0.1', 0)}/healthz`;
  diagnostics.subscribe('http.server.request.start', onRequest);
  try {
    assert.equal((await fetch(url)).status, 200);
    (server as unknown as Accepting)._handle.onconnection(-constants.errno.EMFILE);
    assert.equal((await fetch(url)).status, 200);
  } finally {
    diagnostics.unsubscribe('http.server.request.start', onRequest);
    await admin.close();
  }
});
