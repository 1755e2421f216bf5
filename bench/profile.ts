/**
 * `make profile CASE=plain WIRE=handle`: where Tidegate's CPU time goes under the load of a case, as two Markdown tables.
 * V8 counts samples; `(program)` is native code, for the most part the kernel's work in system calls.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startBackend } from './backend.ts';
import { cases } from './cases.ts';
import { killAll } from './processes.ts';
import { startSubject } from './subjects.ts';

const { values } = parseArgs({
  options: { case: { type: 'string', default: 'plain' }, wire: { type: 'string', default: 'handle' }, seconds: { type: 'string', default: '5' } },
});
const benchCase = cases.find((one) => one.name === values.case);
// The last one is the one with what the case is about.
const subject = benchCase?.subjects.findLast((one) => one.setting.kind === values.wire);
if (benchCase === undefined || subject === undefined) {
  console.error(`make profile: no case ${values.case} with wire ${values.wire}; cases: ${cases.map((one) => one.name).join(', ')}; wires: handle, stream`);
  process.exit(2);
}

interface CpuProfile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: { readonly functionName: string; readonly url: string } }[];
  /** Microseconds of the monotonic clock, as process.hrtime has it. */
  readonly startTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Microseconds of self time by function and by file between two moments, idle time left out. */
function selfTimes(profile: CpuProfile, begin: number, end: number): { total: number; functions: Map<string, number>; files: Map<string, number> } {
  const frames = new Map(profile.nodes.map((node) => [node.id, node.callFrame]));
  const functions = new Map<string, number>();
  const files = new Map<string, number>();
  let total = 0;
  let now = profile.startTime;
  profile.samples.forEach((id, index) => {
    const frame = frames.get(id);
    now += profile.timeDeltas[index] as number;
    if (now < begin || now > end || frame === undefined || frame.functionName === '(idle)') return;
    const time = profile.timeDeltas[index] as number;
    const file = frame.url.replace(/^file:.*\/(?=dist\/|node_modules\/)/, '') || 'V8 and native code';
    const name = `${frame.functionName || '(anonymous)'}${frame.url === '' ? '' : `, ${file}`}`;
    functions.set(name, (functions.get(name) ?? 0) + time);
    files.set(file, (files.get(file) ?? 0) + time);
    total += time;
  });
  return { total, functions, files };
}

function microseconds(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

function table(title: string, times: ReadonlyMap<string, number>, total: number, rows: number): string {
  const top = [...times].toSorted((a, b) => b[1] - a[1]).slice(0, rows);
  return [`| ${title} | Share of busy time |`, '|---|---:|', ...top.map(([name, time]) => `| ${name} | ${((100 * time) / total).toFixed(1)} % |`)].join('\n');
}

process.on('exit', killAll);
const folder = mkdtempSync(join(tmpdir(), 'tidegate-profile-'));
const backend = await startBackend();
try {
  const running = await startSubject({ ...subject.setting, nodeOptions: `--cpu-prof --cpu-prof-interval=250 --cpu-prof-dir=${folder}` }, backend.port);
  const seconds = Number(values.seconds);
  await benchCase.warmUp?.(running, 2);
  const prepared = (await benchCase.prepare?.(new Map([[subject.label, running]]), 1)) ?? 0;
  const begin = microseconds();
  const sample = await benchCase.measure(running, seconds, prepared);
  const end = microseconds();
  await running.stop();
  // A profile for each thread: that of the busiest one, the worker's.
  const profiles = readdirSync(folder).map((file) => selfTimes(JSON.parse(readFileSync(join(folder, file), 'utf8')) as CpuProfile, begin, end));
  const busiest = profiles.toSorted((a, b) => b.total - a.total)[0];
  if (busiest === undefined) throw new Error('no profile was written');
  console.log(
    `${benchCase.title}, ${subject.label}: ${Math.round(sample.rate ?? 0)} requests/s while profiled, ${(sample.cpu ?? 0).toFixed(1)} µs of CPU a request.\n`,
  );
  console.log(`${table('Function', busiest.functions, busiest.total, 25)}\n\n${table('File', busiest.files, busiest.total, 15)}`);
} finally {
  await backend.stop();
  rmSync(folder, { recursive: true, force: true });
}
