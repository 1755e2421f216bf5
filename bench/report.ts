/** Results as Markdown, and their place in docs/performance.md. */
import type { Case, Goal, Metric, Sample } from './case.ts';

export interface Row {
  readonly label: string;
  /** Medians over the rounds. */
  readonly medians: Sample;
  /** Medians of the ratios to the baseline in the same round. */
  readonly ratios: Sample;
}

export interface Outcome {
  readonly goal: string;
  readonly wanted: string;
  readonly measured: string;
  readonly met: boolean;
}

export interface CaseResult {
  readonly title: string;
  readonly note: string;
  readonly baseline: string;
  readonly columns: readonly Metric[];
  readonly rounds: number;
  readonly seconds: number;
  readonly date: string;
  readonly versions: string;
  readonly rows: readonly Row[];
  readonly outcomes: readonly Outcome[];
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle] as number;
  return ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

/** @param samples by the subject's label, one for each round */
export function summarize(
  benchCase: Case,
  samples: ReadonlyMap<string, readonly Sample[]>,
  run: Pick<CaseResult, 'rounds' | 'seconds' | 'date' | 'versions'>,
): CaseResult {
  const base = samples.get(benchCase.baseline);
  const rows = [...samples].map(([label, own]): Row => {
    const medians: Record<string, number> = {};
    const ratios: Record<string, number> = {};
    for (const metric of Object.keys(own[0] ?? {}) as Metric[]) {
      medians[metric] = median(own.map((sample) => sample[metric] as number));
      if (base !== undefined) ratios[metric] = ratio(own, base, metric);
    }
    return { label, medians, ratios };
  });
  const outcomes = benchCase.goals.map((goal) => judge(goal, samples)).filter((outcome) => outcome !== undefined);
  const { title, note = '', baseline, columns } = benchCase;
  return { title, note, baseline, columns, ...run, rows, outcomes };
}

function ratio(samples: readonly Sample[], base: readonly Sample[], metric: Metric): number {
  return median(samples.map((sample, round) => (sample[metric] as number) / (base[round]?.[metric] as number)));
}

function judge(goal: Goal, samples: ReadonlyMap<string, readonly Sample[]>): Outcome | undefined {
  const own = samples.get(goal.subject);
  const against = goal.against === undefined ? undefined : samples.get(goal.against);
  if (own === undefined || (goal.against !== undefined && against === undefined)) return undefined;
  const value = against === undefined ? median(own.map((sample) => sample[goal.metric] as number)) : ratio(own, against, goal.metric);
  const shown = against === undefined ? format(goal.metric, value) : value.toFixed(2);
  const what = against === undefined ? '' : `, to ${goal.against}`;
  const bound = goal.atLeast ?? goal.atMost ?? 0;
  return {
    goal: `${goal.subject}: ${titles[goal.metric]}${what}`,
    wanted: `${goal.atLeast === undefined ? 'at most' : 'at least'} ${bound}`,
    measured: shown,
    met: goal.atLeast === undefined ? value <= bound : value >= bound,
  };
}

const titles: Readonly<Record<Metric, string>> = {
  rate: 'requests/s',
  busyRate: 'requests per busy second',
  cpu: 'CPU µs a request',
  resident: 'MiB after',
  residentBefore: 'MiB before',
  idle: 'KiB a connection',
  p50: 'p50 ms',
  p99: 'p99 ms',
  p999: 'p999 ms',
};

/** Metrics that are shown with their ratio to the baseline. */
const compared: ReadonlySet<Metric> = new Set(['rate', 'busyRate', 'cpu', 'p99']);

function format(metric: Metric, value: number): string {
  if (metric === 'rate' || metric === 'busyRate') return Math.round(value).toLocaleString('en-GB');
  if (metric === 'cpu' || metric === 'idle') return value.toFixed(1);
  if (metric === 'resident' || metric === 'residentBefore') return value.toFixed(0);
  return value.toFixed(2);
}

function cell(row: Row, metric: Metric): string {
  const value = row.medians[metric];
  if (value === undefined) return '';
  const to = compared.has(metric) ? row.ratios[metric] : undefined;
  return to === undefined ? format(metric, value) : `${format(metric, value)} (${to.toFixed(2)})`;
}

/** One case: a heading, its table, its goals. */
export function caseMarkdown(name: string, result: CaseResult): string {
  const header = ['', ...result.columns.map((metric) => titles[metric])];
  const lines = [
    `### ${result.title}`,
    '',
    `\`make bench CASES=${name}\`, ${result.rounds} ${result.rounds === 1 ? 'round' : 'rounds'} of ${result.seconds} s, ${result.date}. In parentheses: to ${result.baseline}.${result.note === '' ? '' : ` ${result.note}`}`,
    '',
    `| ${header.join(' | ')} |`,
    `|---|${'---:|'.repeat(result.columns.length)}`,
    ...result.rows.map((row) => `| ${[row.label, ...result.columns.map((metric) => cell(row, metric))].join(' | ')} |`),
  ];
  return lines.join('\n');
}

export function goalsMarkdown(results: ReadonlyMap<string, CaseResult>): string {
  const rows = [...results.values()].flatMap((result) =>
    result.outcomes.map((outcome) => `| ${result.title} | ${outcome.goal} | ${outcome.wanted} | ${outcome.measured} | ${outcome.met ? 'yes' : '**no**'} |`),
  );
  return ['| Case | What | Wanted | Measured | Met |', '|---|---|---|---:|---|', ...rows].join('\n');
}

const BEGIN = '<!-- Written by make bench from here on. -->';
const END = '<!-- Written by make bench up to here. -->';

/** @returns the page with its generated part replaced; the rest is people's own */
export function replaceGenerated(page: string, results: ReadonlyMap<string, CaseResult>): string {
  const newest = [...results.values()].toSorted((a, b) => a.date.localeCompare(b.date)).at(-1);
  const sections = [...results].map(([name, result]) => caseMarkdown(name, result));
  const generated = [
    BEGIN,
    '',
    `Measured with ${newest?.versions ?? ''}.`,
    '',
    '## Goals',
    '',
    goalsMarkdown(results),
    '',
    '## Cases',
    '',
    sections.join('\n\n'),
    '',
    END,
  ].join('\n');
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < 0) return `${page.trimEnd()}\n\n${generated}\n`;
  return page.slice(0, begin) + generated + page.slice(end + END.length);
}
