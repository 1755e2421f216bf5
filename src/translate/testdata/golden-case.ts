/**
 * Golden cases: `testdata/<case>.in.yaml` holds manifests, `testdata/<case>.out.yaml` what translation makes of them:
 * the snapshot, the status of each object, and every problem, of objects by themselves and beside others. The outputs are
 * the contract: what they say was checked against what users are promised.
 *
 * To add a case:
 * 1. Write `testdata/<case>.in.yaml`: a comment that says what it shows, then manifests. A line `#> options: { ... }`
 *    sets TranslateOptions other than the defaults below. A line `#> then` ends one version of the file and begins the
 *    next: the versions are read one after the other, as edits are, and the last one's outcome counts.
 * 2. `make golden` records `testdata/<case>.out.yaml` (and all others anew: `git diff` must show what you meant).
 * 3. Read the output, line by line, against api.md.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { dump, load } from 'js-yaml';
import { objectKey } from '../../resources/entry.ts';
import type { Entry, Problem, ResourceSet } from '../../resources/resource-set.ts';
// biome-ignore lint/style/noRestrictedImports: the cases are read as the folder source reads manifests.
import { AgeRanks } from '../../sources/age-ranks.ts';
// biome-ignore lint/style/noRestrictedImports: the cases are read as the folder source reads manifests.
import { readManifest } from '../../sources/manifest-file.ts';
// biome-ignore lint/style/noRestrictedImports: the cases are read as the folder source reads manifests.
import { ResourceStore } from '../../sources/resource-store.ts';
import { compareAge } from '../order.ts';
import type { TranslateOptions, TranslateResult } from '../translate.ts';

export const DEFAULT_OPTIONS: TranslateOptions = { ingressClass: 'tidegate', allowExternalName: false, allowLoopbackEndpoints: true };

const FOLDER = import.meta.dirname;

export interface GoldenCase {
  readonly name: string;
  readonly options: TranslateOptions;
  /** One for each version of the file. */
  readonly sets: readonly ResourceSet[];
  readonly expectedFile: string;
}

export function goldenCases(): GoldenCase[] {
  const inputs = readdirSync(FOLDER).filter((file) => file.endsWith('.in.yaml'));
  return inputs.sort().map((file) => {
    const name = file.slice(0, -'.in.yaml'.length);
    const text = readFileSync(join(FOLDER, file), 'utf8');
    const written = /^#> options: (.*)$/m.exec(text)?.[1];
    const options = { ...DEFAULT_OPTIONS, ...(written === undefined ? {} : (load(written) as Partial<TranslateOptions>)) };
    return { name, options, sets: readVersions(text.split(/^#> then$/m)), expectedFile: join(FOLDER, `${name}.out.yaml`) };
  });
}

/** @param versions what one file holds, one after the other */
export function readVersions(versions: readonly string[]): ResourceSet[] {
  const store = new ResourceStore(new AgeRanks());
  return versions.map((text) => {
    const { objects, flaw } = readManifest(Buffer.from(text));
    return store.update([{ path: 'case.yaml', objects }], flaw === undefined ? [] : [{ file: 'case.yaml', ...flaw }]);
  });
}

/** The outcome as it stands in the expected file. */
export function render(set: ResourceSet, { snapshot, statuses, problems }: TranslateResult): string {
  const told = [...allEntries(set).flatMap((entry) => entry.problems.map((problem) => ({ entry, problem }))), ...problems];
  const document = {
    snapshot,
    statuses: statuses.map((status) => ({
      object: `${status.kind} ${status.namespace}/${status.name}`,
      conditions: status.conditions,
      ...(status.ancestors === undefined ? {} : { ancestors: status.ancestors }),
    })),
    problems: told.map(({ entry, problem }) => renderProblem(entry, problem)),
  };
  return dump(plain(document), { lineWidth: 160, noRefs: true, flowLevel: 4 });
}

function renderProblem(entry: Entry<unknown>, { severity, reason, field, message, hint }: Problem): Record<string, unknown> {
  return { object: `${entry.kind} ${objectKey(entry)}`, line: entry.origin.lineOf(field), severity, reason, field, message, hint };
}

function allEntries(set: ResourceSet): Entry<unknown>[] {
  return Object.values(set)
    .flatMap((part: unknown) => (part instanceof Map ? ([...part.values()] as Entry<unknown>[]) : []))
    .concat(set.rejected)
    .sort(compareAge);
}

/** Maps as objects, and values that redact themselves redacted. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (_, part: unknown) => (part instanceof Map ? Object.fromEntries(part) : part)));
}
