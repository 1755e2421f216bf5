/** What becomes of tunnels when the gateway stops: they go on until the listener closes, and then end with 1001. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { RawConnection } from './client.ts';
import { GatewayUnderTest } from './gateway.ts';
import { endWith } from './lifetime.ts';
import { apiRoute, service } from './manifests.ts';
import { type BackendSocket, handshake, TunnelBackend } from './tunnel-backend.ts';

const CLIENTS = 8;
/** A Close frame of 1001, without a mask; and as a client answers it. */
const GOING_AWAY = '\x88\x02\x03\xe9';
const ANSWER = '\x88\x82\0\0\0\0\x03\xe9';

/** A client that always has a message under way. */
class Chatter {
  readonly socket: WebSocket;
  /** Messages that came back, and how the connection closed. */
  echoed = 0;
  wrong = 0;
  closed: { code: number; afterEcho: number } | undefined = undefined;
  #onEcho: (() => void) | undefined = undefined;

  constructor(port: number) {
    this.socket = new WebSocket(`ws://127.0.0.1:${port}/chat`);
    this.socket.on('open', () => this.socket.send('0'));
    this.socket.on('message', (data) => {
      if (String(data) !== String(this.echoed)) this.wrong++;
      this.echoed++;
      this.#onEcho?.();
      this.socket.send(String(this.echoed));
    });
    this.socket.on('error', () => {
      this.wrong++;
    });
    this.socket.on('close', (code) => {
      this.closed = { code, afterEcho: this.echoed };
    });
  }

  async untilEchoes(count: number): Promise<void> {
    while (this.echoed < count)
      await new Promise<void>((resolve) => {
        this.#onEcho = resolve;
      });
  }
}

async function startChatServer(t: TestContext): Promise<{ port: number; codes: number[] }> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  const codes: number[] = [];
  endWith(t, () => {
    for (const socket of server.clients) socket.terminate();
    server.close();
  });
  server.on('connection', (socket) => {
    socket.on('message', (data, binary) => socket.send(data, { binary }));
    socket.on('close', (code) => codes.push(code));
  });
  return { port: (server.address() as { port: number }).port, codes };
}

for (const wire of ['handle', 'stream']) {
  test(`on SIGTERM tunnels go on while the listener is open, and end with 1001 when it closes (${wire})`, async (t) => {
    const chat = await startChatServer(t);
    const backend = await TunnelBackend.start(t);
    const gateway = await GatewayUnderTest.start(
      t,
      {
        'all.yaml':
          service('chat', [chat.port]) +
          service('raw', [backend.port]) +
          apiRoute(
            'all',
            '  rules: [{ matches: [{ path: { value: /chat } }], backendRefs: [{ name: chat, port: 80 }] }, { backendRefs: [{ name: raw, port: 80 }] }]',
          ),
      },
      ['--wire', wire, '--workers', '2', '--drain-delay', '3s'],
    );
    const tunnel = async (path: string): Promise<{ client: RawConnection; far: BackendSocket; bytes: () => string }> => {
      const client = await RawConnection.open(t, gateway.http);
      client.write(handshake(path));
      const far = await backend.asked(path);
      await client.until((received) => received.includes('\r\n\r\n'));
      const start = client.received.indexOf('\r\n\r\n') + 4;
      return { client, far, bytes: () => client.received.slice(start) };
    };
    const chatters = Array.from({ length: CLIENTS }, () => new Chatter(gateway.http));
    endWith(t, () => {
      for (const { socket } of chatters) socket.terminate();
    });
    await Promise.all(chatters.map((chatter) => chatter.untilEchoes(20)));
    const inFrame = await tunnel('/in-frame');
    const stuck = await tunnel('/stuck');
    const deaf = await tunnel('/deaf');
    for (const { far, client, bytes } of [inFrame, stuck]) {
      far.socket.write('\x82\x05ab', 'latin1');
      await client.until(() => bytes().endsWith('ab'));
    }

    gateway.process.kill('SIGTERM');
    await gateway.untilLogged('draining');
    // Before the listener closes everything goes on, and a tunnel may still begin.
    await Promise.all(chatters.map((chatter) => chatter.untilEchoes(chatter.echoed + 5)));
    const late = new Chatter(gateway.http);
    endWith(t, () => late.socket.terminate());
    await late.untilEchoes(2);
    assert.equal(
      chatters.every(({ closed }) => closed === undefined),
      true,
    );

    // The listener is closed when the first one hears of it.
    await deaf.client.until(() => deaf.bytes() !== '');
    assert.equal(deaf.bytes(), GOING_AWAY);
    assert.equal(inFrame.bytes(), '\x82\x05ab');
    inFrame.far.socket.write('cde\x82\x01x', 'latin1');
    await inFrame.client.until(() => inFrame.bytes().length >= 11);
    assert.equal(inFrame.bytes(), `\x82\x05abcde${GOING_AWAY}`);
    inFrame.client.socket.write(`\x81\x81\0\0\0\0m${ANSWER}`, 'latin1');
    await inFrame.client.untilEnded();
    await backend.until(() => inFrame.far.ended);
    assert.equal(inFrame.far.received, `\x81\x81\0\0\0\0m${ANSWER}`);
    inFrame.far.socket.end();

    const [code] = await once(gateway.process, 'close');
    assert.equal(code, 0);
    const stopped = await gateway.untilLogged('stopped');
    assert.deepEqual([stopped.clean, stopped.cut], [true, 0]);
    for (const { closed, wrong, echoed } of [...chatters, late]) assert.deepEqual([closed, wrong], [{ code: 1001, afterEcho: echoed }, 0]);
    assert.deepEqual(chat.codes, Array(CLIENTS + 1).fill(1001));
    // A frame that does not end leaves no room for a Close.
    assert.equal(stuck.bytes(), '\x82\x05ab');
    // The backend of a client that does not answer is told by the gateway, in a masked frame.
    const masked = Buffer.from(deaf.far.received, 'latin1');
    assert.deepEqual([masked.length, masked[0], masked[1]], [8, 0x88, 0x82]);
    assert.deepEqual([(masked[6] as number) ^ (masked[2] as number), (masked[7] as number) ^ (masked[3] as number)], [0x03, 0xe9]);
    const lines = gateway.access.filter((line) => line.status === 101);
    assert.equal(lines.length, CLIENTS + 4);
    assert.deepEqual(new Set(lines.map((line) => line.reason)), new Set(['drain']));
  });
}
