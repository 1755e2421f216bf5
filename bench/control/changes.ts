/** Changes objects one after the other, and asks the gateway until each change serves. */
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubernetesObject } from '../../test-e2e/cluster/api-client.ts';
import type { ApiServer } from './api-server.ts';
import { endpointSlice, hostOf, ingress, laterAddresses, namespaceOf, type Size, serviceAt } from './objects.ts';

/** Milliseconds from before the call of the API server to the answer that showed the change, and to the API server's own answer. */
export interface ChangeTimes {
  readonly served: number[];
  readonly accepted: number[];
}

/** A change that does not serve after so long (ms) ends the bench. */
const PATIENCE = 60_000;
/** Between two requests (ms). */
const ASK_EVERY = 1;

interface Answer {
  readonly status: number;
  readonly body: string;
}

export class Changes {
  readonly #server: ApiServer;
  readonly #size: Size;
  readonly #port: number;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  #rounds = 0;

  constructor(server: ApiServer, size: Size, port: number) {
    this.#server = server;
    this.#size = size;
    this.#port = port;
  }

  /** All endpoints of one Service after the other are replaced. @param pause between changes (ms) */
  async endpointSlices(seconds: number, pause: number): Promise<ChangeTimes> {
    return this.#repeat(seconds, pause, async (round) => {
      // Those beyond the half keep their first addresses, by which they are known.
      const service = Math.floor(Math.random() * (this.#size.services / 2));
      const addresses = laterAddresses(round);
      const wanted = new Set(addresses);
      const object = endpointSlice(service, addresses);
      return { change: () => this.#server.replace(object), shown: () => this.#shows(hostOf(service), '/', ({ body }) => wanted.has(body)) };
    });
  }

  /** An Ingress gets another path, a new one comes, and that one goes, in turn. */
  async ingresses(seconds: number, pause: number): Promise<ChangeTimes> {
    let made: { readonly object: KubernetesObject; readonly host: string } | undefined;
    let step = 0;
    return this.#repeat(seconds, pause, async (round) => {
      switch (step++ % 3) {
        case 0: {
          const { ingresses, services } = this.#size;
          // Both of its Services keep their first addresses, by which an answer is known.
          const first = services / 2 + Math.floor(Math.random() * (services / 2 - 20));
          const target = first + 20;
          const index = first + services * Math.floor(Math.random() * (ingresses / services));
          const path = `/changed-${round}`;
          const object = ingress(`shop-${index}`, namespaceOf(index), hostOf(index), { '/': first, [path]: target });
          return { change: () => this.#server.replace(object), shown: () => this.#shows(hostOf(index), path, ({ body }) => serviceAt(body) === target) };
        }
        case 1: {
          const host = `new-${round}.example.com`;
          const object = ingress(`new-${round}`, namespaceOf(round), host, { '/': this.#size.services - 20 + (round % 20) });
          made = { object, host };
          return { change: () => this.#server.create(object), shown: () => this.#shows(host, '/', ({ status }) => status === 200) };
        }
        default: {
          const { object, host } = made as { object: KubernetesObject; host: string };
          return { change: () => this.#server.delete(object), shown: () => this.#shows(host, '/', ({ status }) => status === 404) };
        }
      }
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  async #repeat(
    seconds: number,
    pause: number,
    next: (round: number) => Promise<{ change: () => Promise<void>; shown: () => Promise<void> }>,
  ): Promise<ChangeTimes> {
    const times: ChangeTimes = { served: [], accepted: [] };
    for (const end = performance.now() + seconds * 1000; performance.now() < end; ) {
      const { change, shown } = await next(this.#rounds++);
      const begin = performance.now();
      const accepted = change().then(() => times.accepted.push(performance.now() - begin));
      await shown();
      times.served.push(performance.now() - begin);
      await accepted;
      // Never in step with what the gateway does at regular times.
      await sleep(pause * (0.5 + Math.random()));
    }
    return times;
  }

  async #shows(host: string, path: string, wanted: (answer: Answer) => boolean): Promise<void> {
    for (const deadline = performance.now() + PATIENCE; ; await sleep(ASK_EVERY)) {
      const answer = await this.#ask(host, path);
      if (wanted(answer)) return;
      if (performance.now() > deadline) throw new Error(`http://${host}${path} does not show the change: it still answers ${answer.status} ${answer.body}`);
    }
  }

  async #ask(host: string, path: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      request({ host: '127.0.0.1', port: this.#port, path, agent: this.#agent, headers: { host } }, (response) => {
        let body = '';
        response.on('data', (bytes: Buffer) => {
          body += bytes.toString();
        });
        response.on('error', reject);
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      })
        .on('error', reject)
        .end();
    });
  }
}
