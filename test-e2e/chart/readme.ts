/** The commands of the README's section on clusters, so that tests follow it word for word. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const root = join(import.meta.dirname, '../..');

/** Every command line of the section, in order; a line that ends in a backslash goes on in the next one. */
export const README_COMMANDS: readonly string[] = (() => {
  const text = readFileSync(join(root, 'README.md'), 'utf8');
  const section = /^## In a cluster\n([\s\S]*?)^## /m.exec(text)?.[1] ?? '';
  const blocks = [...section.matchAll(/^```\n([\s\S]*?)^```$/gm)].map(([, block]) => block ?? '');
  return blocks.flatMap((block) => block.replaceAll('\\\n', ' ').split('\n')).filter((line) => line.trim() !== '');
})();

/** The one command that begins so. */
export function readmeCommand(start: string): string {
  const found = README_COMMANDS.filter((command) => command.startsWith(start));
  if (found.length !== 1) throw new Error(`the README has ${found.length} commands that begin with "${start}"`);
  return found[0] as string;
}
