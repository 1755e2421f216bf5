/** What the gateway may have of the machine is used up: memory, and file descriptors. */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { endWith } from '../gateway/lifetime.ts';
import { type DataPlaneFault, type Place, serve, sumOf, Watched } from './fault.ts';
import { Findings } from './findings.ts';
import { memoryGroup } from './memory-group.ts';
import type { Outcome } from './traffic.ts';

const LIMIT = 512 * 1024 * 1024;

export const memoryShort: DataPlaneFault = {
  number: 21,
  name: 'Memory at 95 %',
  passes: 'new requests are shed with 503, no crash; served again when there is room',
  async run(place) {
    const { lifetime, measure } = place;
    const rounds = measure.full ? 5 : 1;
    const group = await memoryGroup(lifetime, LIMIT);
    const findings = new Findings(`${group.kind}: ${rounds} times another process under it took what was left up to 96 %, and gave it back, under load`);
    const { gateway } = await serve(place, { environment: group.environment, limits: { cgroup: group.folder } });
    let [closed, servedMeanwhile] = [0, 0];
    const watched = new Watched(place, gateway, {
      wanted: ({ status, bytes, error }: Outcome) => {
        // An idle connection that the gateway closes while a request is on its way to it; of one that ends Node.js cancels the streams.
        const isClosed = status === 0 && bytes === 0 && /hang up|ECONNRESET|EPIPE|closed with code 8/.test(error ?? '');
        if (isClosed) closed++;
        return isClosed || status === 200 || status === 503;
      },
    });
    await watched.quiet();
    const statuses = (status: number): number[] => watched.traffics.map((traffic) => traffic.statuses.get(status) ?? 0);
    /** Until each protocol has had so many more answers of that status. */
    const more = async (status: number, count: number): Promise<void> => {
      const before = statuses(status);
      while (statuses(status).some((now, index) => now < (before[index] as number) + count)) await watched.more(10);
    };
    const logged = (message: string): number => gateway.log.filter(({ msg }) => msg === message).length;
    for (let round = 1; round <= rounds; round++) {
      place.tell(`round ${round} of ${rounds}`);
      await group.fillTo(0.96);
      while (logged('memory is short: new requests are refused') < round) await watched.more(5);
      await more(503, measure.full ? 500 : 20);
      const served = statuses(200);
      await watched.more(50);
      servedMeanwhile += statuses(200).reduce((sum, now, index) => sum + now - (served[index] as number), 0);
      await group.release();
      while (logged('memory is no longer short') < round) await watched.more(5);
      await more(200, measure.full ? 500 : 20);
    }
    const [shed, counted] = [statuses(503).reduce((sum, count) => sum + count, 0), await sumOf(gateway, 'tidegate_requests_shed_total{reason="memory"}')];
    findings.check(servedMeanwhile === 0, `${servedMeanwhile} requests served while it was short`);
    findings.check(shed > 0 && counted >= shed, `${shed} requests got 503, ${counted} counted as shed; ${closed} met a connection that was being closed`);
    await watched.judge(findings);
    return findings;
  },
};

const DESCRIPTORS = 320;
/** Connections that are opened at once, each with a request: the gateway needs one of its own to a backend for each meanwhile. */
const AT_ONCE = 10;

/** Sends a request. @returns whether a good answer came before the connection was closed */
async function ask(socket: Socket): Promise<boolean> {
  return new Promise((resolve) => {
    socket.once('data', (bytes) => resolve(String(bytes).startsWith('HTTP/1.1 200 ')));
    socket.once('close', () => resolve(false));
    if (socket.closed) resolve(false);
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  });
}

/** Connections to a gateway that takes no more of them from some number on. */
class Crowd {
  /** Those that were answered. */
  readonly taken: Socket[] = [];
  /** Milliseconds from `makeRoom` to the first answer of one that had waited. */
  backAfter = Number.POSITIVE_INFINITY;
  bad = 0;
  answered = 0;
  asked = 0;
  readonly #place: Place;
  readonly #port: number;
  #roomSince: number | undefined;

  constructor(place: Place, port: number) {
    this.#place = place;
    this.#port = port;
  }

  /** One more, with a request. */
  async join(): Promise<void> {
    const socket = connect(this.#port, '127.0.0.1').on('error', () => {});
    endWith(this.#place.lifetime, () => socket.destroy());
    this.asked++;
    if (!(await ask(socket))) this.bad++;
    this.answered++;
    if (this.#roomSince === undefined) this.taken.push(socket);
    else {
      this.backAfter = Math.min(this.backAfter, performance.now() - this.#roomSince);
      // For the next one.
      socket.destroy();
    }
  }

  /** Those that were taken leave; resolves once all others have had their answer. */
  async makeRoom(): Promise<void> {
    this.#roomSince = performance.now();
    for (const socket of this.taken) socket.destroy();
    while (this.answered < this.asked) await sleep(5);
  }
}

export const descriptorsUsedUp: DataPlaneFault = {
  number: 22,
  name: 'File descriptors used up',
  passes: 'accepting pauses; what is open goes on, 0 errors; who comes meanwhile waits, and each is served once there is room',
  async run(place) {
    const rounds = place.measure.full ? 5 : 1;
    const findings = new Findings(`${rounds} times ${2 * DESCRIPTORS} connections to a gateway that may have ${DESCRIPTORS} files open, under load`);
    const { gateway } = await serve(place, { limits: { descriptors: DESCRIPTORS } });
    // So many clients that none of them needs a second connection, which it would not get: one takes 1,000 requests.
    const watched = new Watched(place, gateway, place.measure.full ? { clients: 12, rest: 20 } : {});
    await watched.quiet();
    const pauses = (): Promise<number> => sumOf(gateway, 'tidegate_accept_pauses_total');
    const [taken, goingOn, waited, back]: [number[], number[], number[], number[]] = [[], [], [], []];
    let bad = 0;
    for (let round = 1; round <= rounds; round++) {
      place.tell(`round ${round} of ${rounds}`);
      const before = await pauses();
      const crowd = new Crowd(place, gateway.http);
      for (let isFull = false; !isFull && crowd.asked < 2 * DESCRIPTORS; ) {
        for (let count = 0; count < AT_ONCE; count++) void crowd.join();
        while (!isFull && crowd.answered < crowd.asked) {
          await sleep(5);
          isFull = (await pauses()) > before;
        }
      }
      while (crowd.asked < 2 * DESCRIPTORS) void crowd.join();
      await watched.more(200, 50);
      const served = [...crowd.taken];
      taken.push(served.length);
      let good = 0;
      for (const socket of served) if (await ask(socket)) good++;
      goingOn.push(good);
      waited.push(crowd.asked - crowd.answered);
      await crowd.makeRoom();
      bad += crowd.bad;
      back.push(crowd.backAfter);
    }
    const [count, refused] = [await pauses(), await sumOf(gateway, 'tidegate_connections_refused_total')];
    findings.check(count >= rounds && taken.every((one) => one > 0 && one < DESCRIPTORS), `${taken.join(', ')} connections taken, then accepting paused`);
    findings.check(String(goingOn) === String(taken), `${goingOn.join(', ')} of them answered again`);
    findings.check(bad + refused === 0 && waited.every((one) => one > 0), `${waited.join(', ')} waited, ${bad} of them were not served, ${refused} refused`);
    findings.note(`the first of them served ${Math.max(...back).toFixed(0)} ms after there was room, at most`);
    const fresh = new Watched(place, gateway, {}, watched);
    await fresh.more(200, 50);
    await fresh.judge(findings);
    await watched.judge(findings);
    return findings;
  },
};
