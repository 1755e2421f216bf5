/** Tidegate under the load of a case, with V8's sampling profiler on: self time by function, by file, and by part of the program. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Case, Sample, Subject } from './case.ts';
import { type BackendPorts, startSubject } from './subjects.ts';

interface V8Profile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: { readonly functionName: string; readonly url: string } }[];
  /** Microseconds of the monotonic clock, as process.hrtime has it. */
  readonly startTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Of the busiest thread, which is the worker; microseconds of self time, idle time left out. */
export interface CpuProfile {
  readonly total: number;
  readonly functions: ReadonlyMap<string, number>;
  readonly files: ReadonlyMap<string, number>;
  readonly parts: ReadonlyMap<string, number>;
  /** What the load came to meanwhile. */
  readonly sample: Sample;
}

/** V8 counts what is not JavaScript as one: Node's own code, V8's, and for the most part the kernel's in system calls. */
export const NATIVE = 'Native code and the kernel';
export const COLLECTOR = 'Garbage collector';

/** Profiles one subject of a case. @param seconds of load, after two seconds to warm up */
export async function profileCase(benchCase: Case, subject: Subject, backendPorts: BackendPorts, seconds: number): Promise<CpuProfile> {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-profile-'));
  try {
    const nodeOptions = `--cpu-prof --cpu-prof-interval=250 --cpu-prof-dir=${folder}`;
    const running = await startSubject({ ...subject.setting, nodeOptions }, backendPorts);
    await benchCase.warmUp?.(running, 2);
    const prepared = (await benchCase.prepare?.(new Map([[subject.label, running]]), 1)) ?? 0;
    const begin = microseconds();
    const sample = await benchCase.measure(running, seconds, prepared);
    const end = microseconds();
    await running.stop();
    // A profile for each thread.
    const profiles = readdirSync(folder).map((file) => selfTimes(JSON.parse(readFileSync(join(folder, file), 'utf8')) as V8Profile, begin, end));
    const busiest = profiles.toSorted((a, b) => b.total - a.total)[0];
    if (busiest === undefined) throw new Error('no profile was written');
    return { ...busiest, sample };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Between two moments. */
function selfTimes(profile: V8Profile, begin: number, end: number): Omit<CpuProfile, 'sample'> {
  const frames = new Map(profile.nodes.map((node) => [node.id, node.callFrame]));
  const functions = new Map<string, number>();
  const files = new Map<string, number>();
  const parts = new Map<string, number>();
  let total = 0;
  let now = profile.startTime;
  const add = (times: Map<string, number>, name: string, time: number): void => {
    times.set(name, (times.get(name) ?? 0) + time);
  };
  profile.samples.forEach((id, index) => {
    const frame = frames.get(id);
    const time = profile.timeDeltas[index] as number;
    now += time;
    if (now < begin || now > end || frame === undefined || frame.functionName === '(idle)') return;
    const file = frame.url.replace(/^file:.*\/(?=dist\/|node_modules\/)/, '');
    const outside = frame.functionName === '(garbage collector)' ? COLLECTOR : NATIVE;
    add(functions, file === '' ? frame.functionName : `${frame.functionName || '(anonymous)'}, ${file}`, time);
    add(files, file === '' ? outside : file, time);
    add(parts, file === '' ? outside : partOf(file), time);
    total += time;
  });
  return { total, functions, files, parts };
}

/** `dist/src/http1/fault.js` belongs to `src/http1`. */
function partOf(file: string): string {
  const folder = /^dist\/(src\/[^/]+)\//.exec(file)?.[1];
  if (folder !== undefined) return folder;
  return file.startsWith('dist/') ? 'src' : "Node's own JavaScript";
}

function microseconds(): number {
  return Number(process.hrtime.bigint() / 1000n);
}
