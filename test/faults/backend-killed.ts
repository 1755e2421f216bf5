/** Backends that die: before their answer, in the middle of it, and between two requests. */
import type { Socket } from 'node:net';
import { type Behaviour, BODY, everyNth } from './backend.ts';
import { type DataPlaneFault, serve, Watched } from './fault.ts';
import { Findings } from './findings.ts';
import type { Outcome } from './traffic.ts';

const dies: Behaviour = (request) => request.socket.destroy();

export const killedBeforeHeaders: DataPlaneFault = {
  number: 1,
  name: 'A backend killed before its headers',
  passes: 'an idempotent request is tried again once elsewhere, 0 errors; a POST gets 502, and reaches one backend only',
  async run(place) {
    const findings = new Findings('one of three backends dropped every fifth connection on the request, under GET and POST load');
    const { gateway, backends } = await serve(place, { rule: 'retry: { attempts: 1, on: [connect-failure, reset] }' });
    const gets = new Watched(place, gateway);
    await gets.quiet();
    (backends[0] as (typeof backends)[0]).behave = everyNth(5, dies);
    await gets.more(5000, 200);
    await gets.judge(findings);
    const before = backends.reduce((sum, backend) => sum + backend.requests, 0);
    const wanted = ({ status }: Outcome): boolean => status === 200 || status === 502;
    const posts = new Watched(place, gateway, { method: 'POST', body: 'order', wanted }, gets);
    await posts.more(1000, 60);
    await posts.judge(findings);
    const sent = posts.traffics.reduce((sum, traffic) => sum + traffic.total, 0);
    const refused = posts.traffics.reduce((sum, traffic) => sum + (traffic.statuses.get(502) ?? 0), 0);
    const arrived = backends.reduce((sum, backend) => sum + backend.requests, 0) - before;
    findings.check(refused > 0 && arrived === sent, `${sent} POSTs, of which ${refused} got 502, reached the backends ${arrived} times`);
    return findings;
  },
};

/** Half of an answer whose whole length was said. */
const diesInBody: Behaviour = (request, response) => {
  response.writeHead(200, { 'content-length': String(BODY.length) });
  response.write(BODY.slice(0, BODY.length / 2), () => request.socket.destroy());
};

export const killedMidBody: DataPlaneFault = {
  number: 2,
  name: 'A backend killed in the middle of its body',
  passes: 'the client sees that the answer is cut; it is never tried again',
  async run(place) {
    const findings = new Findings('every third answer cut after half of its body');
    const { gateway, backends } = await serve(place, { rule: 'retry: { attempts: 2, on: [connect-failure, reset, 502] }' });
    let cut = 0;
    const watched = new Watched(place, gateway, {
      // Whole, or told to be cut.
      wanted: ({ status, bytes, error }) => status === 200 && (bytes === BODY.length ? error === undefined : error !== undefined),
    });
    await watched.quiet();
    for (const backend of backends) {
      backend.behave = everyNth(3, (request, response) => {
        cut++;
        diesInBody(request, response);
      });
    }
    await watched.more(2000, 100);
    await watched.judge(findings);
    const sent = watched.traffics.reduce((sum, traffic) => sum + traffic.total, 0);
    const arrived = backends.reduce((sum, backend) => sum + backend.requests, 0);
    findings.check(cut > 0 && arrived === sent, `${cut} answers cut; ${sent} requests reached the backends ${arrived} times`);
    return findings;
  },
};

export const resetOnReuse: DataPlaneFault = {
  number: 3,
  name: 'RST on the reuse of a kept connection',
  passes: 'a safe retry on a new connection, 0 client errors for GET',
  async run(place) {
    const findings = new Findings('every connection of three backends reset on its third request');
    const { gateway, backends } = await serve(place);
    const watched = new Watched(place, gateway);
    await watched.quiet();
    const seen = new WeakMap<Socket, number>();
    let resets = 0;
    for (const backend of backends) {
      const answer = backend.behave;
      backend.behave = (request, response) => {
        const count = (seen.get(request.socket) ?? 0) + 1;
        seen.set(request.socket, count);
        if (count < 3) return answer(request, response);
        resets++;
        request.socket.resetAndDestroy();
      };
    }
    await watched.more(5000, 200);
    await watched.judge(findings);
    findings.check(resets > 0, `${resets} connections were reset`);
    return findings;
  },
};
