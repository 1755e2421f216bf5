/** Flags that several subcommands share, and how their values are read. Each flag may also be given as TIDEGATE_NAME. */
import { isIP } from 'node:net';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseCidr } from '../src/exchange/cidr.ts';
import { durationMilliseconds } from '../src/resources/fields.ts';
import { type PublishedAddress, publishedAddress } from '../src/status/published-address.ts';
import { SUITES } from '../src/wire/secure-context.ts';
import type { Address } from '../src/workers/messages.ts';

const ON = new Set(['1', 'true']);
const OFF = new Set(['', '0', 'false']);

/** A flag without a value. commander takes it for given when its variable is there at all, whatever that says. */
class Switch extends Option {
  readonly variable: string;

  constructor(flags: string, description: string, variable: string) {
    super(flags, description);
    this.variable = variable;
    this.default(false);
    const given = process.env[variable]?.toLowerCase();
    if (given === undefined || !OFF.has(given)) this.env(variable);
  }
}

/** @param flags as commander takes them, such as `--http <host:port>` or `--strict` */
export function flag(flags: string, description: string): Option {
  const option = new Option(flags, description);
  const variable = `TIDEGATE_${option.name().toUpperCase().replaceAll('-', '_')}`;
  return option.isBoolean() ? new Switch(flags, description, variable) : option.env(variable);
}

/** Before a command runs: a variable of one of its switches that says neither yes nor no is wrong usage. */
export function checkSwitches(command: Command): void {
  for (const option of command.options) {
    if (!(option instanceof Switch)) continue;
    const given = process.env[option.variable]?.toLowerCase();
    if (given === undefined || ON.has(given) || OFF.has(given)) continue;
    command.error(`error: ${option.variable} is "${given}". expected true or false.`);
  }
}

/** @throws InvalidArgumentError */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || !(port <= 65_535)) throw new InvalidArgumentError('expected HOST:PORT, such as 0.0.0.0:8080 or [::]:8080.');
  return { host, port };
}

export function parseWorkers(text: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count < 1 || count > 256) throw new InvalidArgumentError('expected a whole number from 1 to 256.');
  return count;
}

/** @throws InvalidArgumentError */
export function parseConcurrency(text: string): 'auto' | 'off' | number {
  if (text === 'auto' || text === 'off') return text;
  const count = Number(text);
  if (!/^\d+$/.test(text) || count < 1 || count > 1_000_000) throw new InvalidArgumentError('expected auto, off, or a whole number from 1 to 1000000.');
  return count;
}

/** @throws InvalidArgumentError */
export function parseConnections(text: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count > 1_000_000) throw new InvalidArgumentError('expected a whole number from 0 (no limit) to 1000000.');
  return count;
}

const UNITS: Readonly<Record<string, number>> = { '': 1, Ki: 1024, Mi: 1024 ** 2, Gi: 1024 ** 3 };
/** What blocks of shared memory can be as large as. */
const MAX_BYTES = 2 * 1024 ** 3;

/** @returns a number of bytes @throws InvalidArgumentError */
export function parseBytes(text: string): number {
  const match = /^(\d{1,15})(Ki|Mi|Gi|)B?$/.exec(text);
  const bytes = Number(match?.[1]) * (UNITS[match?.[2] ?? ''] ?? 1);
  if (match === null || bytes > MAX_BYTES) throw new InvalidArgumentError('expected a size up to 2GiB, such as 128MiB; 0: nothing is stored.');
  return bytes;
}

/** @returns milliseconds */
export function parseDurationFlag(text: string): number {
  const milliseconds = durationMilliseconds(text);
  if (milliseconds === undefined) throw new InvalidArgumentError('expected a duration, such as 250ms, 10s or 1m30s.');
  return milliseconds;
}

export function parseCidrs(text: string): readonly string[] {
  const cidrs = text.split(',').map((part) => part.trim());
  for (const cidr of cidrs)
    if (parseCidr(cidr) === undefined) throw new InvalidArgumentError(`"${cidr}" is no CIDR; expected such as 10.0.0.0/8, several with commas.`);
  return cidrs;
}

/** @throws InvalidArgumentError */
export function parseCollector(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new InvalidArgumentError(`"${text}" is no URL of a collector. expected http://HOST:PORT, such as http://otel-collector:4318.`);
  }
  return text;
}

/** @returns 0 to 1 @throws InvalidArgumentError */
export function parseRatio(text: string): number {
  const ratio = /^(0|1|0?\.\d+|[01]\.\d+)$/.test(text) ? Number(text) : Number.NaN;
  if (!(ratio >= 0 && ratio <= 1)) throw new InvalidArgumentError(`"${text}" is no ratio. expected 0 to 1, such as 0.01.`);
  return ratio;
}

/** Zones are values of the label topology.kubernetes.io/zone. @throws InvalidArgumentError */
export function parseZone(text: string): string {
  if (!/^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/.test(text)) throw new InvalidArgumentError('expected the name of a zone, such as europe-west1-b.');
  return text;
}

export function parseNamespacedName(text: string): string {
  if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?\/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(text)) throw new InvalidArgumentError('expected NAMESPACE/NAME.');
  return text;
}

/** @returns the parts of NAMESPACE/NAME @throws InvalidArgumentError */
export function parsePublishedService(text: string): { readonly namespace: string; readonly name: string } {
  const [namespace = '', name = ''] = parseNamespacedName(text).split('/');
  return { namespace, name };
}

/** @throws InvalidArgumentError */
export function parsePublishedAddresses(text: string): readonly PublishedAddress[] {
  return text.split(',').map((part) => {
    const address = part.trim();
    const isName = address.length <= 253 && address.split('.').every((label) => /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(label));
    // A name of digits and dots alone is an address that is wrong.
    if (isIP(address) === 0 && (!isName || /^[\d.]+$/.test(address))) {
      throw new InvalidArgumentError(
        `"${address}" is neither an IP address nor a host name; expected such as 203.0.113.7 or lb.example.com, several with commas.`,
      );
    }
    return publishedAddress(address);
  });
}

/** @returns suites in the order of the text @throws InvalidArgumentError */
export function parseSuites(text: string): readonly string[] {
  const suites = text.split(/[,:]/).map((part) => part.trim());
  for (const suite of suites) {
    if (!SUITES.includes(suite)) throw new InvalidArgumentError(`"${suite}" is none of the cipher suites, which are ${SUITES.join(', ')}.`);
  }
  return [...new Set(suites)];
}

/** @param before what earlier ones of the same flag gave @throws InvalidArgumentError */
export function parseNamespaces(text: string, before: readonly string[]): readonly string[] {
  const namespaces = text.split(',').map((part) => part.trim());
  for (const namespace of namespaces) {
    if (namespace.length > 63 || !/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(namespace)) {
      throw new InvalidArgumentError(`"${namespace}" is no name of a namespace; expected such as shop, several with commas.`);
    }
  }
  return [...new Set([...before, ...namespaces])];
}
