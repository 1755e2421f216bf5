/** Clients of WebSockets, each with a message under way nearly all the time. */
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import type { Lifetime } from '../../test/gateway/lifetime.ts';
import type { GatewayAddress } from '../cluster/gateway.ts';
import { ClientLoad } from './client-load.ts';

const CLIENTS = 8;
/** Milliseconds. */
const REST = 20;
const PATIENCE = 30_000;
/** RFC 6455 section 7.4.1. */
const GOING_AWAY = 1001;

/** A message counts when its echo comes, or 1001 in its place: then the client knows that it has to send it again elsewhere. */
export class WebSocketLoad extends ClientLoad {
  readonly #gateway: GatewayAddress;
  readonly #host: string;
  /** Connections that were told to go with 1001. */
  told = 0;

  private constructor(gateway: GatewayAddress, host: string) {
    super();
    this.#gateway = gateway;
    this.#host = host;
  }

  static start(lifetime: Lifetime, gateway: GatewayAddress, host: string): WebSocketLoad {
    const load = new WebSocketLoad(gateway, host);
    load.begin(lifetime, CLIENTS);
    return load;
  }

  protected async runClient(): Promise<void> {
    while (!this.isStopping) await this.#connection();
  }

  /** From the handshake to the end of a connection. */
  async #connection(): Promise<void> {
    const socket = new WebSocket(`ws://${this.#gateway.host}:${this.#gateway.http}/`, { headers: { Host: this.#host }, handshakeTimeout: PATIENCE });
    let [sent, error] = [0, ''];
    const watch = setTimeout(() => socket.terminate(), PATIENCE);
    const send = (): void => {
      if (this.isStopping) socket.close(1000);
      else if (socket.readyState === WebSocket.OPEN) socket.send(String(++sent));
      watch.refresh();
    };
    socket.on('open', send);
    socket.on('message', (data) => {
      if (String(data) === String(sent)) this.succeed();
      else this.fail(`WebSocket: ${String(data)} came for ${sent}`);
      void sleep(REST).then(send);
    });
    socket.on('error', (found) => {
      error = found.message;
    });
    const code = await new Promise<number>((resolve) => socket.on('close', resolve));
    clearTimeout(watch);
    if (code === GOING_AWAY) this.told++;
    else if (code !== 1000 || error !== '') this.fail(`WebSocket closed with ${code} after ${sent} messages ${error}`);
  }
}
