/** What is around the gateway goes wrong: name servers, the clock, whoever reads its log. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { apiRoute } from '../gateway/manifests.ts';
import { FaultyBackend } from './backend.ts';
import { type DataPlaneFault, type Serving, serve, sumOf, Watched } from './fault.ts';
import { Findings } from './findings.ts';
import { planted } from './planted.ts';
import { Traffic } from './traffic.ts';

/** In place of the machine's resolver: a name that leads to loopback, until the file `failing` is there, and then takes a while to fail. */
const RESOLVER = `
import dns from 'node:dns/promises';
import { existsSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
dns.lookup = async () => {
  if (!existsSync(import.meta.dirname + '/failing')) return [{ address: '127.0.0.1', family: 4 }];
  await new Promise((resolve) => setTimeout(resolve, 3000));
  throw Object.assign(new Error('getaddrinfo EAI_AGAIN'), { code: 'EAI_AGAIN' });
};
syncBuiltinESMExports();
`;

export const namesFail: DataPlaneFault = {
  number: 18,
  name: 'Name servers failing and slow',
  passes: 'the last good addresses serve on, 0 errors; the event loop is not held up',
  async run(place) {
    const findings = new Findings('look-ups of an ExternalName took 3 s and failed, for longer than the 30 s after which it is looked up again');
    const backend = await FaultyBackend.start(place.lifetime);
    const { folder, environment } = await planted(place.lifetime, RESOLVER);
    const more = `---
apiVersion: v1
kind: Service
metadata: { name: named, namespace: default }
spec: { type: ExternalName, externalName: backend.test, ports: [{ port: ${backend.port} }] }
${apiRoute('named', `  rules: [{ matches: [{ path: { value: /named } }], backendRefs: [{ name: named, port: ${backend.port} }] }]`)}`;
    const { gateway } = await serve(place, { more, environment, args: ['--allow-external-name'] });
    const watched = new Watched(place, gateway, { path: '/named' });
    await watched.quiet();
    await writeFile(join(folder, 'failing'), '');
    if (place.measure.full) {
      while ((await sumOf(gateway, 'tidegate_external_names{state="stale"}')) < 1) await watched.more(100);
      findings.note('the look-up failed, and the name counts as stale');
    }
    await watched.more(3000, 100);
    await watched.judge(findings);
    return findings;
  },
};

/** Adds the hours that a file says to what the system's clock says. The monotonic clock stays as it is, as when a clock is set. */
const CLOCK = `
import { readFileSync } from 'node:fs';
const file = import.meta.dirname + '/hours';
let offset = 0;
const look = () => { try { offset = Number(readFileSync(file, 'utf8')) * 3_600_000; } catch {} };
setInterval(look, 20).unref();
const now = Date.now.bind(Date);
Date.now = () => now() + offset;
const Original = Date;
globalThis.Date = class extends Original {
  constructor(...args) { if (args.length === 0) super(Original.now()); else super(...args); }
};
`;

export const clockJumps: DataPlaneFault = {
  number: 19,
  name: 'The clock jumps an hour',
  passes: '0 errors: no connection and no request times out; a limit neither frozen nor flooded',
  async run(place) {
    const findings = new Findings("the system's clock set an hour ahead, two hours back and right again, under load; a limit of 20 in 5 s watched");
    const { folder, environment } = await planted(place.lifetime, CLOCK);
    const more = `${apiRoute('limited', '  rules: [{ name: all, matches: [{ path: { value: /limited } }], backendRefs: [{ name: web, port: 80 }] }]')}---
apiVersion: tidegate.dev/v1alpha1
kind: RateLimitPolicy
metadata: { name: limited, namespace: default }
spec:
  targetRefs: [{ group: tidegate.dev, kind: ApiRoute, name: limited }]
  limits: [{ name: all, requests: 20, period: 5s }]
`;
    const { gateway } = await serve(place, { more, environment });
    const watched = new Watched(place, gateway);
    await watched.quiet();
    const limited = Traffic.start(place.lifetime, {
      protocol: 'HTTP/1.1',
      port: gateway.http,
      path: '/limited',
      clients: 2,
      rest: 20,
      wanted: ({ status }) => status === 200 || status === 429,
    });
    const began = performance.now();
    const passed = (): number => limited.statuses.get(200) ?? 0;
    for (const hours of [1, -1, 0]) {
      place.tell(`${hours} h off`);
      await writeFile(join(folder, 'hours'), String(hours));
      await watched.more(1000, 60);
      const before = passed();
      // One is free again every quarter of a second: a limit that froze would let none through.
      while (passed() === before) await limited.more(5);
    }
    const seconds = (performance.now() - began) / 1000;
    await limited.stop();
    const most = 20 + Math.ceil((seconds * 20) / 5) + 2;
    findings.check(
      passed() <= most && limited.failed === 0,
      `${passed()} of ${limited.total} requests passed the limit in ${seconds.toFixed(0)} s, which allows ${most}`,
    );
    await watched.judge(findings);
    return findings;
  },
};

export const logBlocked: DataPlaneFault = {
  number: 20,
  name: 'The log is not read',
  passes: 'lines are dropped and counted, traffic goes on, 0 errors',
  async run(place) {
    const findings = new Findings('the access log went to a pipe that nobody read');
    const { gateway }: Serving = await serve(place, { args: ['--access-log', 'stdout'] });
    const watched = new Watched(place, gateway, { path: `/${'x'.repeat(4000)}` });
    await watched.quiet();
    const output = gateway.process.stdout as Readable;
    output.pause();
    const dropped = async (): Promise<number> => sumOf(gateway, 'tidegate_access_log_dropped_total');
    while ((await dropped()) === 0) await watched.more(200, 100);
    await watched.more(1000, 50);
    findings.note(`${await dropped()} lines dropped and counted`);
    output.resume();
    await watched.judge(findings);
    return findings;
  },
};
