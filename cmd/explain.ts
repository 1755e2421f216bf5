import { isIP } from 'node:net';
import { Command, InvalidArgumentError } from 'commander';
import type { ResourceSet } from '../src/resources/resource-set.ts';
import { FolderError } from '../src/sources/folder-scan.ts';
import { EXIT } from './exit-codes.ts';
import { flag, parseNamespacedName } from './flags.ts';

type Header = readonly [name: string, value: string];

interface ExplainFlags {
  readonly manifests: string;
  readonly header: readonly Header[];
  readonly clientIp: string;
  readonly output: 'text' | 'json';
  readonly ingressClass: string;
  readonly defaultCertificate?: string;
  readonly allowExternalName: boolean;
}

export function explainCommand(): Command {
  return new Command('explain')
    .description('tell which route takes a request, by what, and why others do not')
    .argument('<method>', 'such as GET')
    .argument('<url>', 'such as http://shop.example.com/orders?new=1; a path alone where a Host header is given')
    .addOption(flag('--manifests <dir>', 'folder of *.yaml, *.yml and *.json').makeOptionMandatory())
    .addOption(flag('-H, --header <header>', "'name: value'; may be given several times").argParser(addHeader).default([], 'none'))
    .addOption(flag('--client-ip <address>', "the client's address").argParser(parseIp).default('127.0.0.1'))
    .addOption(flag('--output <format>', 'for people or for machines').choices(['text', 'json']).default('text'))
    .addOption(flag('--ingress-class <name>', 'class that is ours where no IngressClass object is').default('tidegate'))
    .addOption(flag('--default-certificate <ns/name>', 'Secret for unknown server names; else self-signed').argParser(parseNamespacedName))
    .addOption(flag('--allow-external-name', 'take Services with spec.externalName'))
    .action(run);
}

async function run(method: string, url: string, flags: ExplainFlags, command: Command): Promise<void> {
  // Loaded when it is called, as in validate.
  const [{ ExplainUsageError, explainRequest, renderExplanation }, { translate }] = await Promise.all([
    import('../src/explain/explain.ts'),
    import('../src/translate/translate.ts'),
  ]);
  let set: ResourceSet;
  try {
    set = await load(flags.manifests);
  } catch (error) {
    if (!(error instanceof FolderError)) throw error;
    process.stderr.write(`tidegate: ${error.message}\n`);
    process.exitCode = EXIT.problem;
    return;
  }
  const bad = countBad(set);
  if (bad > 0)
    process.stderr.write(
      `tidegate: ${bad} bad ${bad === 1 ? 'object or file is' : 'objects or files are'} left out; "tidegate validate ${flags.manifests}" tells what is wrong\n`,
    );
  const { ingressClass, defaultCertificate, allowExternalName } = flags;
  const { snapshot } = translate(set, { ingressClass, ...(defaultCertificate && { defaultCertificate }), allowExternalName, allowLoopbackEndpoints: true });
  try {
    const report = explainRequest(snapshot, { method, url, headers: flags.header, clientIp: flags.clientIp });
    process.stdout.write(`${flags.output === 'json' ? JSON.stringify(report, null, 2) : renderExplanation(report)}\n`);
    process.exitCode = report.route === undefined && report.passthrough === undefined ? EXIT.problem : EXIT.good;
  } catch (error) {
    if (!(error instanceof ExplainUsageError)) throw error;
    command.error(`error: ${error.message}`);
  }
}

/** @throws FolderError */
async function load(folder: string): Promise<ResourceSet> {
  const { FileSource } = await import('../src/sources/file-source.ts');
  // What is wrong with the manifests is for `validate` to tell.
  const source = new FileSource({ folder, log: () => {} });
  try {
    return await source.start();
  } finally {
    await source.close();
  }
}

function countBad(set: ResourceSet): number {
  let bad = set.fileProblems.length + set.rejected.length;
  for (const entries of Object.values(set)) {
    if (!(entries instanceof Map)) continue;
    for (const { problems } of entries.values()) if ((problems as { severity: string }[]).some(({ severity }) => severity === 'error')) bad++;
  }
  return bad;
}

/** @throws InvalidArgumentError */
function addHeader(text: string, before: readonly Header[]): readonly Header[] {
  const colon = text.indexOf(':');
  if (colon < 1) throw new InvalidArgumentError("expected 'name: value'.");
  return [...before, [text.slice(0, colon).trim(), text.slice(colon + 1).trim()]];
}

/** @throws InvalidArgumentError */
function parseIp(text: string): string {
  if (isIP(text) === 0) throw new InvalidArgumentError('expected an IP address, such as 192.0.2.1 or 2001:db8::1.');
  return text;
}
