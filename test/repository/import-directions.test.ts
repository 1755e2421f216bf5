/** The import directions of docs/architecture.md are held by biome.json: planted violations must fail, the allowed ways must not. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';

const root = join(import.meta.dirname, '../..');

const importing = (path: string) => `import { x } from '${path}';\nexport const y = x;\n`;
const importingType = (path: string) => `import type { X } from '${path}';\nexport type Y = X;\n`;

const refused: readonly (readonly [name: string, file: string, text: string, message: string])[] = [
  ['translate imports proxy', 'src/translate/a.ts', importing('../proxy/exchange-life.ts'), 'translate/ is pure'],
  ['translate imports a type of proxy', 'src/translate/a.ts', importingType('../proxy/exchange-life.ts'), 'translate/ is pure'],
  ['a test of translate imports proxy', 'src/translate/a.test.ts', importing('../proxy/exchange-life.ts'), 'translate/ is pure'],
  ['proxy imports translate', 'src/proxy/a.ts', importing('../translate/translate.ts'), 'proxy/ is data plane'],
  ['a folder of proxy imports translate', 'src/proxy/inner/a.ts', importing('../../translate/translate.ts'), 'proxy/ is data plane'],
  ['a policy imports the engine', 'src/policies/a.ts', importing('../http1/head.ts'), 'Filters run on an Exchange'],
  ['a policy imports proxy', 'src/policies/rate-limit/a.ts', importing('../../proxy/exchange-life.ts'), 'Filters run on an Exchange'],
  ['fetch imports a policy', 'src/fetch/a.ts', importing('../policies/policy.ts'), 'fetch/ makes calls'],
  ['the router imports upstream', 'src/router/a.ts', importing('../upstream/pool.ts'), 'router/ sees'],
  ['expressions import a policy', 'src/expressions/a.ts', importing('../policies/policy.ts'), 'expressions/ sees'],
  ['transcoding imports a policy', 'src/transcoding/a.ts', importing('../policies/policy.ts'), 'as transcoding/ does'],
  ['wire imports the exchange', 'src/wire/a.ts', importing('../exchange/exchange.ts'), 'wire/ is sockets only'],
  ['wire imports the engine', 'src/wire/a.ts', importing('../http1/head.ts'), 'wire/ is sockets only'],
  ['the engine imports the router', 'src/http1/a.ts', importing('../router/router.ts'), 'http1/ is an engine'],
  ['the HTTP/2 engine imports upstream', 'src/http2/a.ts', importing('../upstream/pool.ts'), 'http2/ is an engine'],
  ['the HTTP/1.1 engine imports that of HTTP/2', 'src/http1/a.ts', importing('../http2/frames.ts'), 'http1/ is an engine'],
  ['sources import the status writer', 'src/sources/a.ts', importing('../status/status-writer.ts'), 'sources/ reads objects'],
  ['the status writer imports the controller', 'src/status/a.ts', importing('../controller/controller.ts'), 'status/ tells the cluster'],
  ['the status writer imports the data plane', 'src/status/a.ts', importing('../workers/worker-pool.ts'), 'status/ tells the cluster'],
  ['anything imports cmd', 'src/workers/a.ts', importing('../../cmd/serve.ts'), 'nothing imports it'],
  ['anything but sources/kubernetes talks to the API server', 'src/controller/a.ts', importing('@kubernetes/client-node'), 'Only sources/kubernetes/'],
  ['the folder source talks to the API server', 'src/sources/a.ts', importing('@kubernetes/client-node'), 'Only sources/kubernetes/'],
  ['argv outside cmd', 'src/proxy/a.ts', 'export const x = process.argv;\n', 'Only cmd/ reads the command line'],
  ['env outside cmd', 'src/proxy/a.ts', 'const { env } = process;\nexport const x = env;\n', 'Only cmd/ reads the environment'],
  ['exit outside cmd', 'src/proxy/a.ts', 'export const x = () => process.exit(1);\n', 'Only cmd/ ends the process'],
  ['exit code outside cmd', 'src/proxy/a.ts', 'process.exitCode = 1;\n', 'Only cmd/ sets exit codes'],
  ['signals outside cmd', 'src/proxy/a.ts', "process.once('SIGTERM', () => {});\n", 'Only cmd/ handles signals'],
  ['env by way of the module', 'src/proxy/a.ts', "import { env } from 'node:process';\nexport const x = env;\n", 'Use the global'],
  ['a promise that nobody waits for', 'src/proxy/a.ts', 'async function f() {}\nexport function g() {\n  f();\n}\n', 'noFloatingPromises'],
  ['any', 'src/proxy/a.ts', 'export const x: any = 1;\n', 'noExplicitAny'],
];

const allowed: readonly (readonly [name: string, file: string, text: string])[] = [
  ['translate imports the snapshot', 'src/translate/a.ts', importingType('../snapshot/snapshot.ts')],
  ['the status writer calls the API server', 'src/status/a.ts', importingType('../sources/kubernetes/api-client.ts')],
  ['proxy imports the engine', 'src/proxy/a.ts', importing('../http1/server-connection.ts')],
  ['the HTTP/2 engine uses the one of HTTP/1.1', 'src/http2/a.ts', importing('../http1/fault.ts')],
  ['other events of the process', 'src/workers/a.ts', "process.on('uncaughtException', () => {});\n"],
  ['schemas import expressions', 'src/resources/a.ts', importing('../expressions/expression.ts')],
  ['a policy imports expressions', 'src/policies/a.ts', importing('../expressions/expression.ts')],
  ['cmd sets an exit code', 'cmd/a.ts', 'process.exitCode = 1;\n'],
  ['wire imports the deadlines', 'src/wire/a.ts', importing('../exchange/deadlines.ts')],
  ['cmd reads argv', 'cmd/a.ts', 'export const x = process.argv;\n'],
  ['sources/kubernetes talks to the API server', 'src/sources/kubernetes/a.ts', importing('@kubernetes/client-node')],
];

describe('import directions', () => {
  let folder = '';
  /** What the linter said of each planted file. */
  const said = new Map<string, string>();

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'tidegate-lint-'));
    mkdirSync(join(folder, 'lint'));
    for (const file of ['biome.json', '.gitignore', 'lint/process.grit']) copyFileSync(join(root, file), join(folder, file));
    for (const [index, [, file, text]] of [...refused, ...allowed].entries()) {
      const path = join(folder, planted(file, index));
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    }
    // All of them in one run, for its start takes longer than the files do.
    const args = ['lint', '--colors=off', '--max-diagnostics=none', '.'];
    const { stdout, stderr } = spawnSync(join(root, 'node_modules/.bin/biome'), args, { cwd: folder, encoding: 'utf8' });
    const output = `${stdout}\n${stderr}`;
    assert.match(output, new RegExp(`^Checked ${refused.length + allowed.length + 1} files `, 'm'), output);
    // Each diagnostic begins with its file and line.
    const diagnostics = output.split(/^(?=\S+\.ts:\d+:\d+ )/m).slice(1);
    for (const diagnostic of diagnostics) {
      const file = diagnostic.slice(0, diagnostic.indexOf(':'));
      said.set(file, (said.get(file) ?? '') + diagnostic);
    }
  });
  after(() => rmSync(folder, { recursive: true }));

  /** Each of the files that are to be at the same place has a name of its own. */
  function planted(file: string, index: number): string {
    return file.replace(/a(?=(\.test)?\.ts$)/, `case-${index}`);
  }

  for (const [index, [name, file, , message]] of refused.entries()) {
    test(`refused: ${name}`, () => {
      const output = said.get(planted(file, index)) ?? 'nothing';
      assert.ok(output.includes(message), output);
    });
  }
  for (const [index, [name, file]] of allowed.entries()) {
    test(`allowed: ${name}`, () => assert.equal(said.get(planted(file, refused.length + index)) ?? '', ''));
  }
});
