/**
 * `make profile CASE=plain WIRE=handle`: where Tidegate's CPU time goes under the load of a case, as two Markdown tables.
 * `make profiles`: the same by parts of the program, for every case whose goal is not met, kept in docs/performance.md.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startBackends } from './backend.ts';
import type { Case, Subject } from './case.ts';
import { cases } from './cases.ts';
import { type CpuProfile, profileCase } from './cpu-profile.ts';
import { killAll } from './processes.ts';

const { values } = parseArgs({
  options: {
    case: { type: 'string', default: 'plain' },
    wire: { type: 'string', default: 'handle' },
    seconds: { type: 'string', default: '5' },
    page: { type: 'boolean', default: false },
  },
});
const page = join(import.meta.dirname, '../docs/performance.md');
const results = join(import.meta.dirname, '../docs/performance.json');
const BEGIN = '<!-- Written by make profiles from here on. -->';
const END = '<!-- Written by make profiles up to here. -->';

interface Profiled {
  readonly benchCase: Case;
  readonly subject: Subject;
  readonly profile: CpuProfile;
}

/** The last subject on that wire: the one with what the case is about. */
function chosen(name: string, wire: string): { benchCase: Case; subject: Subject } {
  const benchCase = cases.find((one) => one.name === name);
  const subject = benchCase?.subjects.findLast((one) => one.setting.kind === wire);
  if (benchCase !== undefined && subject !== undefined) return { benchCase, subject };
  console.error(`make profile: no case ${name} with wire ${wire}; cases: ${cases.map((one) => one.name).join(', ')}; wires: handle, stream`);
  process.exit(2);
}

/** Cases, with the wire, that miss a goal in the figures kept by make bench. */
function missed(): { name: string; wire: string }[] {
  const kept = JSON.parse(readFileSync(results, 'utf8')) as Record<string, { outcomes: { goal: string; met: boolean }[] }>;
  const found = new Map<string, { name: string; wire: string }>();
  for (const [name, { outcomes }] of Object.entries(kept)) {
    for (const { goal, met } of outcomes) {
      const wire = goal.includes('stream') ? 'stream' : 'handle';
      if (!met) found.set(`${name} ${wire}`, { name, wire });
    }
  }
  return [...found.values()];
}

function share(time: number | undefined, total: number): string {
  return time === undefined ? '' : `${((100 * time) / total).toFixed(1)} %`;
}

function table(title: string, times: ReadonlyMap<string, number>, total: number, rows: number): string {
  const top = [...times].toSorted((a, b) => b[1] - a[1]).slice(0, rows);
  return [`| ${title} | Share of busy time |`, '|---|---:|', ...top.map(([name, time]) => `| ${name} | ${share(time, total)} |`)].join('\n');
}

/** Parts down, cases across. */
function partsTable(profiled: readonly Profiled[]): string {
  const sums = new Map<string, number>();
  for (const { profile } of profiled) for (const [part, time] of profile.parts) sums.set(part, (sums.get(part) ?? 0) + time / profile.total);
  const parts = [...sums].toSorted((a, b) => b[1] - a[1]).map(([part]) => part);
  return [
    `| Share of busy time | ${profiled.map(({ benchCase, subject }) => `${benchCase.name}: ${subject.label}`).join(' | ')} |`,
    `|---|${'---:|'.repeat(profiled.length)}`,
    ...parts.map((part) => `| ${part} | ${profiled.map(({ profile }) => share(profile.parts.get(part), profile.total)).join(' | ')} |`),
  ].join('\n');
}

function keep(profiled: readonly Profiled[]): void {
  const text = readFileSync(page, 'utf8');
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`docs/performance.md lacks the lines ${BEGIN} and ${END}`);
  const tops = profiled.map(
    ({ benchCase, subject, profile }) => `**${benchCase.name}: ${subject.label}**\n\n${table('Function', profile.functions, profile.total, 12)}`,
  );
  const date = new Date().toISOString().slice(0, 10);
  const note = `V8's sampling profiler, a sample each 250 µs, ${date}. "Native code and the kernel" is all that is not JavaScript.`;
  writeFileSync(page, `${text.slice(0, begin)}${BEGIN}\n\n${note}\n\n${partsTable(profiled)}\n\n${tops.join('\n\n')}\n\n${text.slice(end)}`);
}

process.on('exit', killAll);
const wanted = values.page ? missed() : [{ name: values.case, wire: values.wire }];
const backend = await startBackends();
try {
  const profiled: Profiled[] = [];
  for (const { name, wire } of wanted) {
    const { benchCase, subject } = chosen(name, wire);
    const profile = await profileCase(benchCase, subject, backend.ports, Number(values.seconds));
    const { rate = 0, cpu = 0 } = profile.sample;
    console.log(`${benchCase.title}, ${subject.label}: ${Math.round(rate)} requests/s while profiled, ${cpu.toFixed(1)} µs of CPU a request.`);
    profiled.push({ benchCase, subject, profile });
  }
  if (values.page) {
    keep(profiled);
    console.log('Kept in docs/performance.md.');
  } else {
    for (const { profile } of profiled)
      console.log(`\n${table('Function', profile.functions, profile.total, 25)}\n\n${table('File', profile.files, profile.total, 15)}`);
  }
} finally {
  await backend.stop();
}
