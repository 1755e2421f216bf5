/** What `make bench-control` measured as Markdown, and its place in docs/performance.md. */

export interface Row {
  readonly what: string;
  readonly measured: string;
  /** Absent where nothing is wanted of it. */
  readonly goal?: { readonly wanted: string; readonly met: boolean };
}

export interface ControlReport {
  readonly date: string;
  readonly versions: string;
  /** How busy the machine was otherwise, and what the cluster held. */
  readonly circumstances: string;
  readonly rows: readonly Row[];
}

const BEGIN = '<!-- Written by make bench-control from here on. -->';
const END = '<!-- Written by make bench-control up to here. -->';

export function controlMarkdown({ date, versions, circumstances, rows }: ControlReport): string {
  return [
    '## Control plane at scale',
    '',
    `\`make bench-control\`, ${date}, ${versions}. ${circumstances}`,
    '',
    '| What | Measured | Goal | Met |',
    '|---|---:|---|---|',
    ...rows.map(({ what, measured, goal }) => `| ${what} | ${measured} | ${goal?.wanted ?? ''} | ${goal === undefined ? '' : goal.met ? 'yes' : '**no**'} |`),
  ].join('\n');
}

/** @returns the page with this bench's part replaced, or put at its end; the rest is as it was */
export function replaceControl(page: string, report: ControlReport): string {
  const part = [BEGIN, '', controlMarkdown(report), '', END].join('\n');
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < 0) return `${page.trimEnd()}\n\n${part}\n`;
  return page.slice(0, begin) + part + page.slice(end + END.length);
}
