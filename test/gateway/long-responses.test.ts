/** Event streams and other answers that take their time: each piece goes out as it comes, however the answer is framed. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { before, describe, type TestContext, test } from 'node:test';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { Backend } from './backend.ts';
import { RawConnection } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { endWith, wholeFile } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';

const EVENTS = 5;
const HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n';
const event = (number: number) => `data: ${number}\n\n`;

let backend: Backend;
const gateways = new Map<string, GatewayUnderTest>();
/** The backend's end of what was asked for, by path. */
const streams = new Map<string, Socket>();

before(async () => {
  backend = await Backend.start(wholeFile, ({ head }, socket) => {
    streams.set(head.split(' ')[1] ?? '', socket);
    return undefined;
  });
  const files = {
    'all.yaml':
      service('web', [backend.port]) +
      apiRoute(
        'all',
        '  rules: [{ backendRefs: [{ name: web, port: 80 }] }, { matches: [{ path: { value: /idle } }], timeouts: { idle: 1500ms }, backendRefs: [{ name: web, port: 80 }] }]',
      ),
  };
  for (const wire of ['handle', 'stream']) gateways.set(wire, await GatewayUnderTest.start(wholeFile, files, ['--wire', wire, '--workers', '1']));
});

async function asked(path: string): Promise<Socket> {
  await backend.until(() => streams.has(path));
  return streams.get(path) as Socket;
}

/** What a client gets, without the framing. */
const text = (received: string) => received.slice(received.indexOf('\r\n\r\n') + 4).replace(/(?:\r\n|^)[0-9a-f]+\r\n/g, '');

/** How the backend frames the answer: its head, and each piece. */
const FRAMINGS = {
  chunked: { head: `${HEAD}Transfer-Encoding: chunked\r\n\r\n`, piece: (bytes: string) => `${bytes.length.toString(16)}\r\n${bytes}\r\n` },
  'by its length': { head: `${HEAD}Content-Length: ${event(0).length * EVENTS}\r\n\r\n`, piece: (bytes: string) => bytes },
  'until the connection closes': { head: `${HEAD}Connection: close\r\n\r\n`, piece: (bytes: string) => bytes },
} as const;

for (const wire of ['handle', 'stream']) {
  describe(`events go on one by one (${wire})`, () => {
    for (const [framing, { head, piece }] of Object.entries(FRAMINGS)) {
      for (const version of ['1.1', '1.0']) {
        test(`${framing}, to HTTP/${version}`, async (t) => {
          const { http } = gateways.get(wire) as GatewayUnderTest;
          const path = `/${encodeURIComponent(framing)}-${version}-${wire}`;
          const client = await RawConnection.open(t, http);
          client.write(`GET ${path} HTTP/${version}\r\nHost: a\r\n\r\n`);
          const source = await asked(path);
          // The head alone, too, before there is any event.
          source.write(head);
          await client.until((received) => received.includes('\r\n\r\n'));
          let all = '';
          for (let number = 0; number < EVENTS; number++) {
            source.write(piece(event(number)));
            all += event(number);
            // The next one comes only when this one has arrived.
            await client.until((received) => text(received).startsWith(all));
          }
          assert.match(client.received, /^HTTP\/1\.1 200 OK\r\n/);
        });
      }
    }

    test('to TLS', async (t: TestContext) => {
      const { https } = gateways.get(wire) as GatewayUnderTest;
      const socket = connectTls({ port: https, host: '127.0.0.1', rejectUnauthorized: false } as ConnectionOptions);
      endWith(t, () => socket.destroy());
      let received = '';
      let onBytes = () => {};
      socket.on('data', (bytes) => {
        received += bytes.toString('latin1');
        onBytes();
      });
      const path = `/tls-${wire}`;
      socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
      const source = await asked(path);
      source.write(FRAMINGS.chunked.head);
      for (let number = 0, all = ''; number < EVENTS; number++) {
        source.write(FRAMINGS.chunked.piece(event(number)));
        all += event(number);
        while (!text(received).startsWith(all)) {
          await new Promise<void>((resolve) => {
            onBytes = resolve;
          });
        }
      }
    });
  });

  test(`pieces of a request go on one by one as well, while the answer comes (${wire})`, async (t) => {
    const { http } = gateways.get(wire) as GatewayUnderTest;
    const client = await RawConnection.open(t, http);
    const heads = backend.streams.length;
    // The fixture takes a request for whole with its head, so that this one has no length that it knows of.
    client.write(`POST /both-${wire} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`);
    const mine = () => backend.streams.slice(heads).find((stream) => stream.startsWith(`POST /both-${wire} `)) ?? '';
    for (let number = 0; number < EVENTS; number++) {
      client.write(FRAMINGS.chunked.piece(`piece ${number}`));
      await backend.until(() => mine().includes(`piece ${number}`));
    }
  });

  test(`silence is counted from the last byte (${wire})`, async (t) => {
    const gateway = gateways.get(wire) as GatewayUnderTest;
    const client = await RawConnection.open(t, gateway.http);
    const path = `/idle/${wire}`;
    client.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
    const source = await asked(path);
    source.write(FRAMINGS.chunked.head);
    const startedAt = performance.now();
    // Longer than the idle time-out in all, but with a byte every now and then.
    const beats = setInterval(() => source.write(FRAMINGS.chunked.piece('.')), 50);
    endWith(t, () => clearInterval(beats));
    await client.until((received) => received.split('.').length > 45);
    assert.ok(performance.now() - startedAt > 1500);
    assert.equal(client.ended, false);
    clearInterval(beats);
    const received = await client.untilEnded();
    assert.doesNotMatch(received, /\r\n0\r\n/);
    const line = await gateway.untilAccess((entry) => entry.path === path);
    assert.deepEqual([line.status, line.reason], [200, 'idle_timeout']);
  });
}
