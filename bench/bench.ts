/**
 * `make bench`: nginx, HAProxy, Envoy, Traefik, Caddy and Tidegate in one run, interleaved, the proxy on one core, load generator and backend on
 * the other. Prints Markdown tables; with three rounds or more keeps them in docs/performance.md (and the figures in
 * docs/performance.json, so that a run of some cases leaves the others' as they were).
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startBackends } from './backend.ts';
import type { Case, Sample } from './case.ts';
import { cases } from './cases.ts';
import { killAll } from './processes.ts';
import { type CaseResult, caseMarkdown, goalsMarkdown, replaceGenerated, summarize } from './report.ts';
import { type BackendPorts, KINDS, type Running, startSubject } from './subjects.ts';

const root = join(import.meta.dirname, '..');
const page = join(root, 'docs/performance.md');
const figures = join(root, 'docs/performance.json');

/** With fewer rounds a result is looked at, not kept. */
const ROUNDS_TO_KEEP = 3;

function usage(message: string): never {
  console.error(`make bench: ${message}`);
  console.error(`usage: make bench [CASES=a,b] [ROUNDS=5] [SECONDS=4] [SUBJECTS=${KINDS.join(',')}]\ncases: ${cases.map((one) => one.name).join(', ')}`);
  process.exit(2);
}

function options() {
  const { values } = parseArgs({
    options: { cases: { type: 'string' }, rounds: { type: 'string' }, seconds: { type: 'string' }, subjects: { type: 'string' } },
  });
  const rounds = Number(values.rounds ?? 5);
  const seconds = Number(values.seconds ?? 4);
  if (!Number.isInteger(rounds) || rounds < 1) usage(`ROUNDS=${values.rounds} is not a whole number of 1 or more`);
  if (!Number.isInteger(seconds) || seconds < 1) usage(`SECONDS=${values.seconds} is not a whole number of 1 or more`);
  const names = values.cases?.split(',') ?? cases.map((one) => one.name);
  const chosen = names.map((name) => cases.find((one) => one.name === name) ?? usage(`no case ${name}`));
  const kinds = new Set<string>(values.subjects?.split(',') ?? KINDS);
  return { rounds, seconds, chosen, kinds };
}

function versionsInUse(): string {
  const first = (command: string, args: readonly string[], pattern: RegExp): string => {
    // wrk -v exits with 1, and nginx writes its version to standard error.
    const text = execFileSync('sh', ['-c', `${command} ${args.join(' ')} 2>&1 || true`], { encoding: 'utf8' });
    return pattern.exec(text)?.[1] ?? 'unknown';
  };
  const tidegate = (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version;
  const commit = first('git', ['-C', root, 'rev-parse', '--short', 'HEAD'], /^([0-9a-f]+)$/m);
  return [
    `Tidegate ${tidegate} (${commit})`,
    `Node.js ${process.versions.node}`,
    `nginx ${first('nginx', ['-v'], /nginx\/(\S+)/)}`,
    `HAProxy ${first('haproxy', ['-v'], /version (\S+)/)}`,
    `Envoy ${first('.cache/bench/peers/envoy', ['--version'], /\/(\d+\.\d+\.\d+)\//)}`,
    `Traefik ${first('.cache/bench/peers/traefik', ['version'], /Version: +(\S+)/)}`,
    `Caddy ${first('.cache/bench/peers/caddy', ['version'], /^v?(\S+)/)}`,
    `h2load ${first('h2load', ['--version'], /nghttp2\/(\S+)/)}`,
    `wrk ${first('wrk', ['-v'], /wrk (?:debian\/)?(\S+)/)}`,
    `Go ${first('go', ['version'], /go(\d\S*)/)}`,
    `Linux on ${cpus()[0]?.model.trim() ?? 'an unknown CPU'}, ${availableParallelism()} cores`,
  ].join(', ');
}

/** Runs one case: everything is started first, then measured in turns, beginning with another subject each round. */
async function runCase(
  benchCase: Case,
  rounds: number,
  seconds: number,
  kinds: ReadonlySet<string>,
  backendPorts: BackendPorts,
): Promise<ReadonlyMap<string, Sample[]>> {
  const running = new Map<string, Running>();
  const samples = new Map<string, Sample[]>();
  try {
    for (const subject of benchCase.subjects) {
      if (!kinds.has(subject.setting.kind)) continue;
      running.set(subject.label, await startSubject(subject.setting, backendPorts));
      samples.set(subject.label, []);
    }
    const warmUp = benchCase.warmUp;
    if (warmUp !== undefined) for (const subject of running.values()) await warmUp(subject, Math.min(2, seconds));
    const prepared = (await benchCase.prepare?.(running, seconds)) ?? 0;
    const labels = [...running.keys()];
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < labels.length; turn++) {
        const label = labels[(round + turn) % labels.length] as string;
        samples.get(label)?.push(await benchCase.measure(running.get(label) as Running, seconds, prepared));
      }
      process.stderr.write(`\r${benchCase.name}: round ${round + 1} of ${rounds}`);
    }
    process.stderr.write('\r\x1b[K');
  } finally {
    for (const subject of running.values()) await subject.stop();
  }
  return samples;
}

async function main(): Promise<void> {
  const { rounds, seconds, chosen, kinds } = options();
  if (availableParallelism() < 2) usage('needs two cores: one for the proxy, one for load generator and backend');
  const versions = versionsInUse();
  const date = new Date().toISOString().slice(0, 10);
  console.log(`Measuring with ${versions}.\n`);
  const kept = existsSync(figures) ? (JSON.parse(readFileSync(figures, 'utf8')) as Record<string, CaseResult>) : {};
  const results = new Map<string, CaseResult>();
  const backend = await startBackends();
  try {
    for (const benchCase of chosen) {
      const count = benchCase.rounds ?? rounds;
      const samples = await runCase(benchCase, count, seconds, kinds, backend.ports);
      const result = summarize(benchCase, samples, { rounds: count, seconds, date, versions });
      results.set(benchCase.name, result);
      console.log(`${caseMarkdown(benchCase.name, result)}\n`);
    }
  } finally {
    await backend.stop();
  }
  console.log(`## Goals\n\n${goalsMarkdown(results)}\n`);
  if (rounds < ROUNDS_TO_KEEP || kinds.size < KINDS.length) {
    console.log(`Not kept in docs/performance.md: that takes ${ROUNDS_TO_KEEP} rounds or more of all subjects.`);
    return;
  }
  for (const [name, result] of results) kept[name] = result;
  const inOrder = cases.flatMap((one) => (kept[one.name] === undefined ? [] : [[one.name, kept[one.name] as CaseResult] as const]));
  writeFileSync(figures, `${JSON.stringify(Object.fromEntries(inOrder), undefined, 1)}\n`);
  writeFileSync(page, replaceGenerated(readFileSync(page, 'utf8'), new Map(inOrder)));
  console.log('Kept in docs/performance.md.');
}

process.on('exit', killAll);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(1));
await main().catch((error: Error) => {
  console.error(`make bench: ${error.message}`);
  process.exit(1);
});
