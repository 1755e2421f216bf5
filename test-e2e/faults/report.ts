/** The page that says which faults passed: its table is written by `make faults`, the rest by people. */

/** One row; all of it Markdown on one line. */
export interface Row {
  readonly number: number;
  readonly fault: string;
  readonly done: string;
  readonly passes: string;
  readonly measured: string;
  readonly passed: boolean;
  /** Day and load of the machine. */
  readonly when: string;
}

const BEGIN = '<!-- Written by make faults from here on. -->';
const END = '<!-- Written by make faults up to here. -->';
const TITLES = ['#', 'Fault', 'What was done', 'Passing means', 'Measured', 'Passed', 'When'];

function cells(row: Row): readonly string[] {
  return [String(row.number), row.fault, row.done, row.passes, row.measured, row.passed ? 'yes' : '**no**', row.when].map((text) =>
    text.replaceAll('|', '\\|'),
  );
}

export function table(rows: readonly Row[]): string {
  const line = (texts: readonly string[]): string => `| ${texts.join(' | ')} |`;
  return [line(TITLES), `|${'---|'.repeat(TITLES.length)}`, ...rows.map((row) => line(cells(row)))].join('\n');
}

/** Lines of the table in a page, by number of the fault. */
function linesOf(page: string): Map<number, string> {
  const lines = page.slice(Math.max(0, page.indexOf(BEGIN)), page.indexOf(END)).split('\n');
  return new Map(lines.flatMap((line) => (/^\| \d+ \|/.test(line) ? [[Number(/\d+/.exec(line)?.[0]), line] as const] : [])));
}

/** @returns the page with new rows in place of old ones of the same faults; others stay as they are */
export function replaceRows(page: string, rows: readonly Row[]): string {
  const lines = linesOf(page);
  for (const row of rows) lines.set(row.number, table([row]).split('\n').at(-1) as string);
  const sorted = [...lines].sort(([a], [b]) => a - b).map(([, line]) => line);
  const generated = [BEGIN, '', ...table([]).split('\n'), ...sorted, '', END].join('\n');
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < 0) return `${page.trimEnd()}\n\n${generated}\n`;
  return page.slice(0, begin) + generated + page.slice(end + END.length);
}
