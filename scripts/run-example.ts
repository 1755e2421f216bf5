/**
 * What `make run` does after the build: starts the sample backends and the gateway on manifests/example/, waits
 * until it serves, and prints requests to try. Ctrl-C ends everything. With `--ports free` all ports are free ones and
 * the manifests are a copy with the backends' ports changed, so that a test can run beside anything else.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { freePort } from './free-port.ts';

const root = join(import.meta.dirname, '..');
const committed = 'manifests/example';

/** The sample backends, with the ports that the files of endpoints in manifests/example/ have for them. */
const backends = [
  { name: 'web', port: 9101 },
  { name: 'orders', port: 9102 },
  { name: 'orders-next', port: 9103 },
  { name: 'profiles', port: 9104 },
  { name: 'purchases', port: 9105 },
  { name: 'hints', port: 9106 },
];

const endpoints = ['local/endpoint-slices.yaml', 'bff/local/endpoint-slices.yaml'];

interface Ports {
  readonly http: number;
  readonly https: number;
  readonly admin: number;
  readonly backends: readonly number[];
}

const fixed: Ports = { http: 8080, https: 8443, admin: 9901, backends: backends.map((backend) => backend.port) };

/** Whether nobody listens there: it is taken for a moment. */
async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  server.listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}

async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await freePort());
  return [...ports];
}

const children: ChildProcess[] = [];
const temporary: string[] = [];
let stopping = false;

/** Ends every child and waits for them; a second call kills. */
async function stop(exitCode: number): Promise<void> {
  if (stopping) {
    for (const child of children) child.kill('SIGKILL');
    return;
  }
  stopping = true;
  const running = children.filter((child) => child.exitCode === null && child.signalCode === null);
  const gone = running.map((child) => once(child, 'exit'));
  for (const child of running) child.kill('SIGTERM');
  await Promise.all(gone);
  for (const folder of temporary) rmSync(folder, { recursive: true, force: true });
  process.exit(exitCode);
}

function fail(message: string): void {
  if (stopping) return;
  console.error(`make run: ${message}`);
  void stop(1);
}

/** Children get a process group of their own: Ctrl-C reaches this program only, which ends them in order. */
function start(name: string, command: string, args: readonly string[], stdout: 'pipe' | 'inherit'): ChildProcess {
  const child = spawn(command, args, { cwd: root, detached: true, stdio: ['pipe', stdout, 'inherit'] });
  child.on('error', (error) => fail(`${name} could not be started: ${error.message}`));
  child.on('exit', (code, signal) => fail(`${name} ended (${signal ?? `exit code ${code}`})`));
  children.push(child);
  return child;
}

async function startBackend(name: string, port: number): Promise<void> {
  const child = start(`sample backend ${name}`, process.execPath, ['scripts/sample-backend.ts', '--name', name, '--port', String(port)], 'pipe');
  if (child.stdout === null) return;
  await once(createInterface(child.stdout), 'line');
}

async function untilReady(admin: number): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!stopping) {
    try {
      const response = await fetch(`http://127.0.0.1:${admin}/readyz`);
      if (response.status === 200) return;
    } catch {
      // Not listening yet.
    }
    if (performance.now() > deadline) {
      fail('the gateway was not ready within 30 s');
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** The requests to try: what they show, and a command line that works as it stands. */
function requests(ports: Ports): readonly (readonly [shows: string, command: string])[] {
  const shop = `http://shop.localhost:${ports.http}`;
  const home = `http://home.localhost:${ports.http}`;
  const api = `http://api.localhost:${ports.http}`;
  return [
    ['by path: the shop and its orders are two backends', `curl ${shop}/`],
    ['', `curl ${shop}/orders/7`],
    ['by host: the next version has a host of its own', `curl http://preview.localhost:${ports.http}/orders/7`],
    ['by header, with the path rewritten', `curl -H 'x-preview: yes' ${api}/v1/orders/7`],
    ['one in ten goes to orders-next', `for i in $(seq 20); do curl -s ${api}/v1/orders | grep backend; done | sort | uniq -c`],
    ['five searches in ten seconds, then 429', `for i in $(seq 7); do curl -s -o /dev/null -w '%{http_code}\\n' '${api}/v1/search?q=tide'; done`],
    ['an answer of the gateway itself', `curl -i ${api}/status`],
    ['one answer of three Services, one of which fails: the whole page', `curl ${home}/home/ada`],
    ['less of it for a telephone', `curl -A 'Mozilla/5.0 (iPhone)' ${home}/home/ada`],
    ['and by host, for a partner', `curl http://partner.localhost:${ports.http}/users/ada/totals`],
    ['TLS (-k, because the example certificate is self-signed)', `curl -k https://api.localhost:${ports.https}/v1/orders/7`],
    ['why a request went where it went', `curl 'http://127.0.0.1:${ports.admin}/debug/explain?method=GET&url=${api}/v1/orders/7'`],
    ['metrics', `curl -s http://127.0.0.1:${ports.admin}/metrics | grep tidegate_requests_total`],
  ];
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { ports: { type: 'string', default: 'fixed' } } });
  let ports = fixed;
  let manifests = committed;
  if (values.ports === 'free') {
    const [http, https, admin, ...rest] = (await freePorts(3 + backends.length)) as [number, number, number, ...number[]];
    ports = { http, https, admin, backends: rest };
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-example-'));
    temporary.push(folder);
    cpSync(join(root, committed), folder, { recursive: true });
    for (const file of endpoints) {
      const slices = join(folder, file);
      const text = readFileSync(slices, 'utf8');
      // In one go: a free port may be one that another backend has in the file.
      const changed = text.replace(/\b91\d\d\b/g, (port) => String(rest[backends.findIndex((backend) => String(backend.port) === port)] ?? port));
      writeFileSync(slices, changed);
    }
    manifests = folder;
  } else {
    const all = [ports.http, ports.https, ports.admin, ...ports.backends];
    const busy: number[] = [];
    for (const port of all) if (!(await isFree(port))) busy.push(port);
    if (busy.length > 0) {
      console.error(`make run: port ${busy.join(', ')} is in use; end what listens there, or use free ports: make run PORTS=free`);
      process.exit(1);
    }
  }

  process.on('SIGINT', () => void stop(0));
  process.on('SIGTERM', () => void stop(0));
  process.on('SIGHUP', () => void stop(0));

  await Promise.all(backends.map((backend, index) => startBackend(backend.name, ports.backends[index] as number)));
  const flags = ['--http', `127.0.0.1:${ports.http}`, '--https', `127.0.0.1:${ports.https}`, '--admin', `127.0.0.1:${ports.admin}`, '--drain-delay', '0s'];
  start('the gateway', join(root, 'bin/tidegate'), ['serve', '--manifests', manifests, ...flags], 'inherit');
  await untilReady(ports.admin);
  if (stopping) return;

  console.log(`\nTidegate serves ${manifests}: edit a file there, and the change is live within a second.`);
  console.log('Its access log comes below, one JSON object a line. Requests to try, in another terminal:\n');
  for (const [shows, command] of requests(ports)) {
    if (shows !== '') console.log(`  # ${shows}`);
    console.log(`  ${command}`);
  }
  console.log('\nCtrl-C ends it all.\n');
}

await main();
