/** Backends that do what a fault wants of them. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { endWith, type Lifetime } from '../gateway/lifetime.ts';

export type Behaviour = (request: IncomingMessage, response: ServerResponse) => void;

export const BODY = '0123456789'.repeat(100);

/** Answers, with a body whose length it says. */
export const answers: Behaviour = (request, response) => {
  request.resume();
  request.on('end', () => response.end(BODY));
};

export class FaultyBackend {
  requests = 0;
  behave: Behaviour = answers;
  readonly #server: Server;

  private constructor() {
    this.#server = createServer({ keepAliveTimeout: 120_000 }, (request, response) => {
      this.requests++;
      request.on('error', () => {});
      this.behave(request, response);
    });
  }

  static async start(lifetime: Lifetime): Promise<FaultyBackend> {
    const backend = new FaultyBackend();
    await backend.listen(0);
    endWith(lifetime, () => backend.stop());
    return backend;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen({ host: '127.0.0.1', port, backlog: 4096 }, resolve));
  }

  /** Its port refuses connections from then on, and all that are open are cut. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }
}

/** Those of them that do it, every `nth` request of the backend. */
export function everyNth(nth: number, fault: Behaviour): Behaviour {
  let count = 0;
  return (request, response) => (++count % nth === 0 ? fault : answers)(request, response);
}

export function portsOf(backends: readonly FaultyBackend[]): number[] {
  return backends.map((backend) => backend.port);
}
