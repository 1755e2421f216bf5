import { Command } from 'commander';
import type { Entry, Problem, ResourceSet } from '../src/resources/resource-set.ts';
import { FolderError } from '../src/sources/folder-scan.ts';
import type { TranslateResult } from '../src/translate/translate.ts';
import { EXIT } from './exit-codes.ts';
import { flag, parseNamespacedName } from './flags.ts';

interface ValidateFlags {
  readonly strict: boolean;
  readonly output: 'text' | 'json';
  readonly ingressClass: string;
  readonly defaultCertificate?: string;
  readonly allowExternalName: boolean;
}

/** One problem, as `--output json` shows it. What is no object's has empty names; what is of a whole file stands on line 1. */
interface Finding {
  readonly file: string;
  readonly line: number;
  readonly severity: 'error' | 'warning';
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly field: string;
  readonly message: string;
  readonly hint: string;
}

export function validateCommand(): Command {
  return new Command('validate')
    .description('tell what is wrong with manifests, a line per problem')
    .argument('<path...>', 'folders of *.yaml, *.yml and *.json, or files')
    .addOption(flag('--strict', 'warnings fail too'))
    .addOption(flag('--output <format>', 'for people or for machines').choices(['text', 'json']).default('text'))
    .addOption(flag('--ingress-class <name>', 'class that is ours where no IngressClass object is').default('tidegate'))
    .addOption(flag('--default-certificate <ns/name>', 'Secret for unknown server names').argParser(parseNamespacedName))
    .addOption(flag('--allow-external-name', 'take Services with spec.externalName'))
    .action(run);
}

async function run(paths: readonly string[], flags: ValidateFlags): Promise<void> {
  // Loaded when it is called: most of a command's time goes by with that, and the others can do without.
  const [{ readManifests }, { translate }] = await Promise.all([import('../src/sources/read-manifests.ts'), import('../src/translate/translate.ts')]);
  let set: ResourceSet;
  try {
    set = await readManifests(paths, { now: Date.now() });
  } catch (error) {
    if (!(error instanceof FolderError)) throw error;
    process.stderr.write(`tidegate: ${error.message}\n`);
    process.exitCode = EXIT.problem;
    return;
  }
  const { ingressClass, defaultCertificate, allowExternalName } = flags;
  const options = { ingressClass, ...(defaultCertificate && { defaultCertificate }), allowExternalName, allowLoopbackEndpoints: true };
  const findings = findProblems(set, translate(set, options).problems);
  const errors = findings.filter(({ severity }) => severity === 'error').length;
  const warnings = findings.length - errors;
  if (flags.output === 'json') {
    process.stdout.write(`${JSON.stringify(findings, null, 2)}\n`);
  } else {
    process.stdout.write(findings.map((finding) => `${render(finding)}\n`).join(''));
    process.stderr.write(`tidegate: ${count(countObjects(set), 'object')}, ${count(errors, 'error')}, ${count(warnings, 'warning')}\n`);
  }
  process.exitCode = errors > 0 || (flags.strict && warnings > 0) ? EXIT.problem : EXIT.good;
}

/** Everything that is wrong with the files, with each object, and with objects beside each other (`translated`), by file and line. */
function findProblems(set: ResourceSet, translated: TranslateResult['problems']): Finding[] {
  const findings: Finding[] = set.fileProblems.map(({ file, line, message, hint }) => ({
    ...{ file, line: Math.max(1, line), severity: 'error', kind: '', namespace: '', name: '', field: '' },
    ...{ message, hint },
  }));
  for (const entry of entriesOf(set)) for (const problem of entry.problems) findings.push(finding(entry, problem));
  for (const { entry, problem } of translated) findings.push(finding(entry, problem));
  // The sort is stable: problems of one line stay in the order of the object's fields.
  return findings.sort((left, right) => Buffer.compare(Buffer.from(left.file), Buffer.from(right.file)) || left.line - right.line);
}

function entriesOf(set: ResourceSet): Entry<unknown>[] {
  const entries: Entry<unknown>[] = [...set.rejected];
  for (const part of Object.values(set) as unknown[]) if (part instanceof Map) entries.push(...(part as ReadonlyMap<string, Entry<unknown>>).values());
  return entries;
}

function countObjects(set: ResourceSet): number {
  return entriesOf(set).length;
}

function finding({ kind, namespace, name, origin }: Entry<unknown>, { severity, field, message, hint, line }: Problem): Finding {
  return { file: origin.file, line: line ?? origin.lineOf(field), severity, kind, namespace, name, field, message, hint };
}

/** `file:line kind/namespace/name field: what is wrong; what would be right`. */
function render({ file, line, severity, kind, namespace, name, field, message, hint }: Finding): string {
  const object = [kind, namespace, name].filter((part) => part !== '').join('/');
  const where = [`${file}:${line}`, object, field].filter((part) => part !== '').join(' ');
  const text = `${where}: ${message}${hint === '' ? '' : `; ${hint}`}${severity === 'warning' ? ' (warning)' : ''}`;
  // Names and values may hold what ends a line, or what a terminal takes for a command.
  return text.replace(/\p{Cc}/gu, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
