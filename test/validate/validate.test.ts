/** `bin/tidegate validate` as users run it: what it prints, and its exit codes. */
import assert from 'node:assert/strict';
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createSelfSigned } from '../../src/proxy/tls/self-signed.ts';
import type { Outcome as CommandOutcome, Order } from './many-commands.ts';

const root = join(import.meta.dirname, '../..');
const work = mkdtempSync(join(tmpdir(), 'tidegate-validate-'));
after(() => rmSync(work, { recursive: true, force: true }));

interface Outcome extends CommandOutcome {
  readonly lines: readonly string[];
}

/** Runs the command beside the manifests, so that paths in its output are short. */
function validate(folder: string, ...args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(join(root, 'bin/tidegate'), ['validate', ...args], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, lines: stdout.split('\n').slice(0, -1), stdout, stderr }));
  });
}

let folders = 0;

function folderOf(files: Readonly<Record<string, string | Buffer>>): string {
  const folder = join(work, String(folders++));
  mkdirSync(folder);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

const SERVICE = 'apiVersion: v1\nkind: Service\nmetadata: { name: web }\nspec: { ports: [{ name: http, port: 80 }] }\n';
const ingress = (name: string, more = ''): string =>
  `apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: { name: ${name} }\nspec:\n  ingressClassName: tidegate\n${more}  rules:\n    - host: a.example.com\n      http:\n        paths:\n          - path: /\n            pathType: Prefix\n            backend: { service: { name: web, port: { number: 80 } } }\n`;
const route = (rule: string, spec = ''): string =>
  `apiVersion: tidegate.dev/v1alpha1\nkind: ApiRoute\nmetadata: { name: shop }\nspec:\n${spec}  rules:\n    - name: all\n      backendRefs: [{ name: web, port: 80 }]\n${rule}`;
const policy = (target: string): string =>
  `apiVersion: tidegate.dev/v1alpha1\nkind: RateLimitPolicy\nmetadata: { name: slow }\nspec:\n  targetRefs:\n    - { group: tidegate.dev, kind: ApiRoute, ${target} }\n  limits: [{ requests: 1, period: 1s }]\n`;
const pem = (file: string): string => JSON.stringify(readFileSync(join(root, 'src/wire/testdata', file), 'utf8'));
const tlsSecret = (crt: string, key: string): string =>
  `apiVersion: v1\nkind: Secret\nmetadata: { name: cert }\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: ${pem(crt)}\n  tls.key: ${pem(key)}\n`;

const ERROR = 1;
const WARNING = 0;

/** Each bad input beside a Service that is right: one line about it, and the exit code. */
const BAD: readonly (readonly [what: string, file: string, text: string | Buffer, line: RegExp, code: number])[] = [
  ['not YAML', 'a.yaml', 'a: [\n', /^a\.yaml:\d: not YAML: .+; check /, ERROR],
  ['plain prose', 'a.yml', 'hello there\n', /^a\.yml:1: the document is plain text, not an object; write apiVersion/, ERROR],
  ['broken JSON', 'a.json', '{"a": 1\n', /^a\.json:\d: not YAML/, ERROR],
  ['binary', 'a.yaml', Buffer.from([1, 0, 2]), /^a\.yaml:1: the file is binary, not text; /, ERROR],
  ['10 MiB', 'a.yaml', Buffer.alloc(10 * 1024 * 1024, 0x61), /^a\.yaml:1: the file has 10\.0 MiB, more than 8 MiB; split/, ERROR],
  ['100,000 open brackets', 'a.yaml', '['.repeat(100_000), /^a\.yaml:1: lists and mappings are nested more than 100 deep; /, ERROR],
  [
    'wrong kind',
    'a.yaml',
    route('').replace('ApiRoute', 'ApiRuote'),
    /^a\.yaml:2 ApiRuote\/default\/shop kind: tidegate\.dev has no kind "ApiRuote"; did you mean ApiRoute\?$/,
    ERROR,
  ],
  [
    'wrong group',
    'a.yaml',
    route('').replace('tidegate.dev/', 'gateway.networking.k8s.io/'),
    /^a\.yaml:1 ApiRoute\/default\/shop apiVersion: kind ApiRoute is not in .+; write apiVersion: tidegate\.dev\/v1alpha1$/,
    ERROR,
  ],
  [
    'wrong version',
    'a.yaml',
    route('').replace('v1alpha1', 'v1'),
    /^a\.yaml:1 ApiRoute\/default\/shop apiVersion: version .+; write apiVersion: tidegate\.dev\/v1alpha1$/,
    ERROR,
  ],
  [
    'unknown field',
    'a.yaml',
    route('', '  hostname: a\n'),
    /^a\.yaml:5 ApiRoute\/default\/shop spec\.hostname: unknown field "hostname"; did you mean hostnames\?$/,
    ERROR,
  ],
  [
    'key twice',
    'a.yaml',
    route('', '  hostnames: [a.b]\n  hostnames: [b.c]\n'),
    /^a\.yaml:6 ApiRoute\/default\/shop spec\.hostnames: the key "hostnames" is there twice; keep one of them$/,
    ERROR,
  ],
  [
    'a boolean of YAML 1.1',
    'a.yaml',
    route('      matches: [{ headers: [{ name: x, value: on }] }]\n'),
    /^a\.yaml:8 .+\.headers\[0\]\.value: must be a string, not the boolean true; write it in quotes: YAML 1\.1/,
    ERROR,
  ],
  [
    'duration',
    'a.yaml',
    route('      timeouts: { request: 10 sec }\n'),
    /^a\.yaml:8 .+ spec\.rules\[0\]\.timeouts\.request: "10 sec" is not a duration; /,
    ERROR,
  ],
  ['port', 'a.yaml', route('').replace('port: 80', 'port: 99999'), /^a\.yaml:7 .+\.backendRefs\[0\]\.port: 99999 is out of range; /, ERROR],
  [
    'CIDR',
    'a.yaml',
    route('      filters: { ipAccess: { allow: [10.0.0.0/99] } }\n'),
    /^a\.yaml:8 .+\.ipAccess\.allow\[0\]: "10\.0\.0\.0\/99" is not a CIDR; /,
    ERROR,
  ],
  [
    'regex',
    'a.yaml',
    route('      matches: [{ path: { type: RegularExpression, value: "/(" } }]\n'),
    /^a\.yaml:8 .+\.path\.value: "\/\(" is not a regular expression: .+; use RE2/,
    ERROR,
  ],
  ['status code', 'a.yaml', route('      filters: { directResponse: { statusCode: 999 } }\n'), /^a\.yaml:8 .+\.statusCode: 999 is out of range; /, ERROR],
  [
    'header name',
    'a.yaml',
    route('      filters: { requestHeaderModifier: { set: [{ name: "a b", value: c }] } }\n'),
    /^a\.yaml:8 .+\.set\[0\]\.name: "a b" is not a header name; /,
    ERROR,
  ],
  [
    'header value with CR LF',
    'a.yaml',
    route('      filters: { requestHeaderModifier: { set: [{ name: a, value: "b\\r\\nc: d" }] } }\n'),
    /^a\.yaml:8 .+\.set\[0\]\.value: .+ has a control character .+; /,
    ERROR,
  ],
  [
    'missing Service',
    'a.yaml',
    ingress('i').replace('name: web', 'name: gone'),
    /^a\.yaml:12 Ingress\/default\/i spec\.rules\[0\]\.http\.paths\[0\]\.backend\.service\.name: Service default\/gone does not exist; .+ \(warning\)$/,
    WARNING,
  ],
  [
    'missing port',
    'a.yaml',
    ingress('i').replace('number: 80', 'number: 81'),
    /^a\.yaml:12 Ingress\/default\/i spec\.rules\[0\]\.http\.paths\[0\]\.backend\.service\.port\S*: .*81.*; /,
    ERROR,
  ],
  [
    'missing Secret',
    'a.yaml',
    ingress('i', '  tls: [{ hosts: [a.example.com], secretName: gone }]\n'),
    /^a\.yaml:6 Ingress\/default\/i spec\.tls\[0\]\.secretName: Secret default\/gone does not exist.*; .+ \(warning\)$/,
    WARNING,
  ],
  [
    'key of another certificate',
    'a.yaml',
    tlsSecret('rsa.crt', 'ecdsa.key'),
    /^a\.yaml:7 Secret\/default\/cert stringData\["tls\.key"\]: tls\.key does not match the certificate in tls\.crt; /,
    ERROR,
  ],
  [
    'duplicate names',
    'a.yaml',
    `${ingress('i')}---\n${ingress('i')}`,
    /^a\.yaml:16 Ingress\/default\/i metadata\.name: Ingress\/default\/i is already at a\.yaml:1, which counts; /,
    ERROR,
  ],
  [
    'two Ingresses with the same path',
    'a.yaml',
    `${ingress('first')}---\n${ingress('second')}`,
    /^a\.yaml:\d+ Ingress\/default\/second spec\.rules\[0\]\S*: .+first.+; .+ \(warning\)$/,
    WARNING,
  ],
  [
    'policy that targets nothing',
    'a.yaml',
    `${route('')}---\n${policy('name: gone')}`,
    /^a\.yaml:14 RateLimitPolicy\/default\/slow spec\.targetRefs\[0\]\.name: ApiRoute default\/gone does not exist; .+ \(warning\)$/,
    WARNING,
  ],
  [
    'policy for a rule that is not there',
    'a.yaml',
    `${route('')}---\n${policy('name: shop, sectionName: gone')}`,
    /^a\.yaml:14 RateLimitPolicy\/default\/slow spec\.targetRefs\[0\]\.sectionName: .*gone.*; .+ \(warning\)$/,
    WARNING,
  ],
];

describe('validate: bad input', () => {
  let commands: ChildProcess;
  before(() => {
    commands = fork(join(import.meta.dirname, 'many-commands.ts'));
  });
  after(() => commands.kill());

  for (const [what, file, text, line, code] of BAD) {
    test(what, async () => {
      commands.send({ folder: folderOf({ [file]: text, 'web.yaml': SERVICE }), args: ['.'] } satisfies Order);
      const outcome = (await Promise.race([once(commands, 'message'), once(commands, 'exit')]))[0] as CommandOutcome | number | null;
      assert.ok(typeof outcome === 'object' && outcome !== null, `it has ended with ${outcome}`);
      const lines = outcome.stdout.split('\n').slice(0, -1);
      assert.equal(lines.length, 1, outcome.stdout);
      assert.match(lines[0] ?? '', line);
      assert.equal(outcome.code, code, outcome.stderr);
    });
  }

  test('the program says the same', async () => {
    const [, file, text, line, code] = BAD[0] as (typeof BAD)[number];
    const outcome = await validate(folderOf({ [file]: text, 'web.yaml': SERVICE }), '.');
    assert.equal(outcome.lines.length, 1, outcome.stdout);
    assert.match(outcome.lines[0] ?? '', line);
    assert.equal(outcome.code, code, outcome.stderr);
  });
});

describe('validate', { concurrency: 2 }, () => {
  test('nothing wrong: nothing said but the sum', async () => {
    const outcome = await validate(folderOf({ 'a.yaml': `${SERVICE}---\n${route('')}---\n${ingress('i')}` }), '.');
    assert.deepEqual(outcome, { code: 0, lines: [], stdout: '', stderr: 'tidegate: 3 objects, 0 errors, 0 warnings\n' });
  });

  test('the example that make run serves is right, strictly', async () => {
    const outcome = await validate(root, '--strict', 'manifests/example');
    assert.equal(outcome.code, 0, outcome.stdout);
  });

  test('--strict: warnings fail', async () => {
    const folder = folderOf({ 'a.yaml': ingress('i') });
    assert.equal((await validate(folder, '.')).code, 0);
    assert.equal((await validate(folder, '--strict', '.')).code, 1);
  });

  test('every problem of every file, by file and line; one bad object does not hide another', async () => {
    const outcome = await validate(
      folderOf({ 'b/z.yaml': 'a: [', 'a.yaml': `${route('      priority: {}\n', '  hostname: a\n')}---\n${ingress('i')}`, 'c.json': '{}' }),
      '.',
    );
    assert.deepEqual(
      outcome.lines.map((line) => line.split(':', 2).join(':').split(' ', 1)[0]),
      ['a.yaml:5', 'a.yaml:9', 'a.yaml:22', 'b/z.yaml:1', 'c.json:1'],
      outcome.stdout,
    );
    assert.equal(outcome.stderr, 'tidegate: 3 objects, 4 errors, 1 warning\n');
  });

  test('--output json: an array of objects with every field', async () => {
    const outcome = await validate(folderOf({ 'a.yaml': route('', '  hostname: a\n'), 'b.yaml': 'a: [', 'web.yaml': SERVICE }), '--output', 'json', '.');
    const findings = JSON.parse(outcome.stdout) as unknown[];
    assert.deepEqual(findings[0], {
      ...{ file: 'a.yaml', line: 5, severity: 'error', kind: 'ApiRoute', namespace: 'default', name: 'shop', field: 'spec.hostname' },
      ...{ message: 'unknown field "hostname"', hint: 'did you mean hostnames?' },
    });
    assert.equal(findings.length, 2);
    assert.deepEqual(Object.keys(findings[1] as object), ['file', 'line', 'severity', 'kind', 'namespace', 'name', 'field', 'message', 'hint']);
    assert.deepEqual([outcome.code, outcome.stderr], [1, '']);
    assert.deepEqual(JSON.parse((await validate(folderOf({ 'web.yaml': SERVICE }), '--output', 'json', '.')).stdout), []);
  });

  test('several paths are read together: references lead from one to the other, duplicates show', async () => {
    const folder = folderOf({ 'one/a.yaml': ingress('i'), 'two/web.yaml': SERVICE, 'three.txt': SERVICE });
    assert.deepEqual((await validate(folder, 'one', 'two')).lines, []);
    assert.deepEqual((await validate(folder, 'one/a.yaml', 'three.txt')).lines, [], 'a file that is named is read whatever its name is');
    assert.match((await validate(folder, 'two', 'three.txt')).stdout, /^two\/web\.yaml:3 Service\/default\/web metadata\.name: .+ is already at three\.txt:1/);
    assert.deepEqual((await validate(folder, 'one', 'two', 'two/web.yaml')).lines, [], 'what is named twice is read once');
  });

  test('nothing but what is named is read', async () => {
    const folder = folderOf({ 'one/a.yaml': ingress('i'), 'web.yaml': SERVICE, 'one/.hidden.yaml': 'a: [' });
    assert.match((await validate(folder, 'one')).stdout, /^one\/a\.yaml:12 .+Service default\/web does not exist/);
  });

  test('an expired certificate is a warning, with its end', async () => {
    const { chain, key } = createSelfSigned({
      names: ['a.example.com'],
      keyType: 'ECDSA',
      notBefore: new Date('2020-01-01'),
      notAfter: new Date('2021-01-01'),
    });
    const text = `apiVersion: v1\nkind: Secret\nmetadata: { name: cert }\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: ${JSON.stringify(chain)}\n  tls.key: ${JSON.stringify(key)}\n`;
    const outcome = await validate(folderOf({ 'a.yaml': text }), '.');
    assert.equal(outcome.code, 0);
    assert.equal(outcome.lines.length, 1);
    assert.match(outcome.lines[0] ?? '', /^a\.yaml:6 Secret\/default\/cert \S+: the certificate expired at 2021-01-01T00:00:00\.000Z; renew it \(warning\)$/);
  });

  test('other kinds are none of ours', async () => {
    const outcome = await validate(folderOf({ 'a.yaml': 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {anything: goes}\n' }), '.');
    assert.deepEqual([outcome.code, outcome.lines], [0, []]);
  });

  test('line ends and control characters in names and values stay within their line, escaped', async () => {
    const text = route('      matches: [{ path: { value: "x\\r\\ny" } }]\n').replace('name: shop', 'name: "a\\nb\\e[31m"');
    const outcome = await validate(folderOf({ 'a.yaml': text, 'web.yaml': SERVICE }), '.');
    assert.equal(outcome.lines.length, 2);
    for (const line of outcome.lines) assert.match(line, /^a\.yaml:\d+ ApiRoute\/default\/a\\u000ab\\u001b\[31m \S+: .+; .+/);
    assert.match(outcome.lines[1] ?? '', /write \/x\\u000d\\u000ay$/);
    assert.doesNotMatch(outcome.stdout, /(?!\n)\p{Cc}/u);
  });

  test('a path that is not there: one line, exit code 1', async () => {
    const outcome = await validate(folderOf({ 'a.yaml': SERVICE }), 'a.yaml', 'nowhere');
    assert.deepEqual(outcome, { code: 1, lines: [], stdout: '', stderr: 'tidegate: nowhere does not exist\n' });
  });

  test('wrong usage: exit code 2', async () => {
    const folder = folderOf({ 'a.yaml': SERVICE });
    assert.equal((await validate(folder)).code, 2);
    assert.equal((await validate(folder, '--strikt', '.')).code, 2);
    assert.equal((await validate(folder, '--output', 'xml', '.')).code, 2);
    assert.match((await validate(folder, '--strikt', '.')).stderr, /unknown option '--strikt'/);
  });

  test('--help tells of every flag', async () => {
    const outcome = await validate(work, '--help');
    assert.equal(outcome.code, 0);
    for (const flag of ['--strict', '--output', '--ingress-class', 'TIDEGATE_STRICT']) assert.ok(outcome.stdout.includes(flag), flag);
  });
});
