/**
 * The faults at their full size, one after the other, those of a cluster each on a control plane of its own, and their table
 * into docs/reliability.md: `make faults`. Started by run.ts inside of its namespaces: `[--only NUMBER,...] [--minutes N]
 * [--soak-minutes N]`.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { Findings, type Measure } from '../../test/faults/findings.ts';
import { DATA_PLANE_FAULTS } from '../../test/faults/index.ts';
import type { Lifetime } from '../../test/gateway/lifetime.ts';
import { openPlane, openStage } from './fault.ts';
import { FAULTS } from './index.ts';
import { type Row, replaceRows, table } from './report.ts';

const PAGE = new URL('../../docs/reliability.md', import.meta.url);

/** A fault takes no longer than this, and what the outage of number 8 adds. Milliseconds. */
const PATIENCE = 20 * 60_000;

interface Entry {
  readonly number: number;
  readonly name: string;
  readonly passes: string;
  run(lifetime: Lifetime, measure: Measure, tell: (what: string) => void): Promise<Findings>;
}

const ENTRIES: readonly Entry[] = [
  ...FAULTS.map((fault) => ({
    ...fault,
    run: async (lifetime: Lifetime, measure: Measure, tell: (what: string) => void) => {
      tell('a control plane starts');
      return fault.run(await openStage(lifetime, await openPlane(lifetime), 'faults', measure, tell));
    },
  })),
  ...DATA_PLANE_FAULTS.map((fault) => ({
    ...fault,
    run: async (lifetime: Lifetime, measure: Measure, tell: (what: string) => void) => fault.run({ lifetime, measure, tell }),
  })),
].sort((a, b) => a.number - b.number);

async function tryFault(fault: Entry, measure: Extract<Measure, { full: true }>): Promise<Row> {
  const began = Date.now();
  const tell = (what: string): void => console.log(`  ${((Date.now() - began) / 1000).toFixed(0).padStart(4)} s  ${what}`);
  console.log(`${fault.number}: ${fault.name}`);
  const busy = loadavg()[0] ?? 0;
  const stops: (() => Promise<void>)[] = [];
  const lifetime: Lifetime = { after: (stop) => stops.push(stop) };
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('it took too long')), PATIENCE + (measure.minutes + measure.soakMinutes) * 60_000);
  });
  let findings: Findings;
  try {
    findings = await Promise.race([fault.run(lifetime, measure, tell), late]);
  } catch (error) {
    findings = new Findings('');
    findings.check(false, `it did not come to its end: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`);
    console.error(error);
  } finally {
    clearTimeout(timer);
    for (const stop of stops) await stop().catch((error) => console.error(error));
  }
  const passed = findings.failures.length === 0;
  tell(passed ? 'passed' : `NOT PASSED: ${findings.failures.join('; ')}`);
  const day = new Date().toISOString().slice(0, 10);
  const load = `load ${busy.toFixed(0)} to ${(loadavg()[0] ?? 0).toFixed(0)}`;
  return {
    number: fault.number,
    fault: fault.name,
    done: findings.done,
    passes: fault.passes,
    measured: findings.measured.join('; '),
    passed,
    when: `${day}, ${load}`,
  };
}

const { values } = parseArgs({
  options: { only: { type: 'string' }, minutes: { type: 'string', default: '10' }, 'soak-minutes': { type: 'string', default: '30' } },
});
const wanted = values.only === undefined ? undefined : values.only.split(',').map(Number);
const unknown = (wanted ?? []).filter((number) => !ENTRIES.some((fault) => fault.number === number));
const minutes = Number(values.minutes);
const soakMinutes = Number(values['soak-minutes']);
if (unknown.length > 0 || !(minutes > 0 && soakMinutes > 0)) {
  console.error(
    unknown.length > 0
      ? `there is no fault ${unknown.join(', ')}; there are ${ENTRIES.map(({ number }) => number).join(', ')}`
      : 'MINUTES and SOAK are numbers above 0',
  );
  process.exit(2);
}
const rows: Row[] = [];
for (const fault of ENTRIES.filter(({ number }) => wanted?.includes(number) ?? true)) {
  rows.push(await tryFault(fault, { full: true, minutes, soakMinutes }));
  // At once, so that a run that is broken off has told what it found.
  await writeFile(PAGE, replaceRows(await readFile(PAGE, 'utf8'), rows));
}
console.log(`\n${table(rows)}\n`);
const passed = rows.filter((row) => row.passed).length;
console.log(`${passed} passed, ${rows.length - passed} failed; docs/reliability.md has the figures`);
process.exit(passed === rows.length ? 0 : 1);
