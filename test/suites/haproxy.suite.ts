/** HAProxy before the gateway and behind it, with PROXY headers of both versions in between; it wrote the specification. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../scripts/free-port.ts';
import { get } from '../gateway/client.ts';
import { GatewayUnderTest } from '../gateway/gateway.ts';
import { PATIENCE, wholeFile } from '../gateway/lifetime.ts';
import { apiRoute, service } from '../gateway/manifests.ts';
import { runForeign, startForeign } from './foreign-program.ts';

const VERSIONS = ['V1', 'V2'] as const;
/** Where the client is, which is nobody whom anybody trusts. */
const CLIENT = '127.0.0.5';

const folder = mkdtempSync(join(tmpdir(), 'tidegate-haproxy-'));
after(() => rmSync(folder, { recursive: true }));
/** Trusts HAProxy's own address, from which headers must come. */
let gateway: GatewayUnderTest;
/** HAProxy before the gateway, by version and port of the gateway. */
const fronts = new Map<string, number>();
/** Takes no connection without a header, as the gateway does. */
let strict: number;

/** Starts HAProxy, and waits until it takes connections. */
async function haproxy(name: string, sections: readonly string[], ports: readonly number[]): Promise<void> {
  const file = join(folder, `${name}.cfg`);
  const defaults = 'defaults\n  mode http\n  timeout connect 10s\n  timeout client 60s\n  timeout server 60s\n';
  writeFileSync(file, `global\n  maxconn 200\n${defaults}${sections.join('')}`);
  const checked = await runForeign('haproxy', ['-c', '-f', file]);
  assert.equal(checked.code, 0, checked.output);
  startForeign(wholeFile, 'haproxy', ['-db', '-f', file]);
  for (const port of ports) await untilOpen(port);
}

async function untilOpen(port: number): Promise<void> {
  for (const deadline = Date.now() + PATIENCE; ; await sleep(20)) {
    const socket = connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    } finally {
      socket.destroy();
    }
  }
}

before(async () => {
  // Behind the gateway: says whose connection it takes each one for.
  const receivers: string[] = [];
  const manifests: string[] = [];
  const ports: number[] = [];
  for (const version of VERSIONS) {
    for (const [protocol, bind] of [
      ['HTTP1', 'accept-proxy'],
      ['H2C', 'accept-proxy proto h2'],
    ] as const) {
      const port = await freePort();
      ports.push(port);
      const name = `${version}-${protocol}`.toLowerCase();
      receivers.push(
        `frontend ${name}\n  bind 127.0.0.1:${port} ${bind}\n  http-request return status 200 content-type text/plain lf-string "%[src] %[dst] %[req.hdr(x-real-ip)] %[req.ver]"\n`,
      );
      const check = '{ active: { type: HTTP, path: /healthz, interval: 1s, unhealthyThreshold: 1 } }';
      manifests.push(
        service(name, [port]),
        `---\napiVersion: tidegate.dev/v1alpha1\nkind: BackendPolicy\nmetadata: { name: ${name} }\nspec: { targetRefs: [{ kind: Service, name: ${name} }], protocol: ${protocol}, proxyProtocol: ${version}, healthCheck: ${check} }\n`,
        apiRoute(name, `  rules: [{ matches: [{ path: { value: /${name} } }], backendRefs: [{ name: ${name}, port: 80 }] }]`),
      );
    }
  }
  strict = ports[0] as number;
  await haproxy('receivers', receivers, []);
  gateway = await GatewayUnderTest.start(wholeFile, { 'all.yaml': manifests.join('') }, ['--proxy-protocol', '--trusted-proxies', '127.0.0.1/32']);
  // Before the gateway.
  const senders: string[] = [];
  for (const version of VERSIONS) {
    for (const port of ['http', 'https'] as const) {
      const own = await freePort();
      fronts.set(`${version} ${port}`, own);
      const send = version === 'V1' ? 'send-proxy' : 'send-proxy-v2';
      senders.push(`listen ${version}-${port}\n  mode tcp\n  bind 127.0.0.1:${own}\n  server gateway 127.0.0.1:${gateway[port]} ${send}\n`);
    }
  }
  await haproxy('senders', senders, [...fronts.values()]);
});

for (const sent of VERSIONS) {
  describe(`HAProxy sends ${sent}`, () => {
    for (const taken of VERSIONS) {
      for (const protocol of ['http1', 'h2c']) {
        for (const [port, flags] of [
          ['http', []],
          ['http', ['--http2-prior-knowledge']],
          ['https', ['--insecure', '--http1.1']],
          ['https', ['--insecure', '--http2']],
        ] as const) {
          const client = `${port}${flags.length === 0 ? '' : ` ${flags.at(-1)}`}`;
          test(`and takes ${taken} of a backend connection of ${protocol} (${client})`, async () => {
            const url = `${port}://127.0.0.1:${fronts.get(`${sent} ${port}`)}/${taken.toLowerCase()}-${protocol}`;
            // Twice on one connection: that to the backend is used again. Not so by prior knowledge: curl 7.88 itself can't, whatever the server.
            const urls = flags.some((flag) => flag === '--http2-prior-knowledge') ? [url] : [url, url];
            const { code, output } = await runForeign('curl', ['--silent', '--show-error', '--interface', CLIENT, ...flags, ...urls]);
            assert.equal(code, 0, output);
            // Source and destination are those of the client's connection to the HAProxy before the gateway.
            const seen = `${CLIENT} 127.0.0.1 ${CLIENT} ${protocol === 'h2c' ? '2.0' : '1.1'}`;
            assert.equal(output, urls.map(() => seen).join(''));
          });
        }
      }
    }
  });
}

test('without a header HAProxy takes nothing, nor does the gateway from where headers come', async () => {
  for (const port of [strict, gateway.http]) await assert.rejects(get(port, '/'), /socket hang up|ECONNRESET/);
});

test("health checks, which are nobody's, are taken by HAProxy as what they are", async () => {
  const { body } = await get(gateway.admin, '/metrics');
  for (const version of VERSIONS) {
    for (const protocol of ['http1', 'h2c']) {
      const upstream = `default/${version.toLowerCase()}-${protocol}/80`;
      assert.match(body, new RegExp(`^tidegate_upstream_endpoints\\{upstream="${upstream}",state="healthy"\\} 1$`, 'm'));
    }
  }
});
