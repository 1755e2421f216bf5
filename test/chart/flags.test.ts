/** The flags that the chart renders are those of the program. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { container, helm, render, root } from './render.ts';

describe("the chart's flags", { skip: helm.skip }, () => {
  const help = execFileSync(join(root, 'bin/tidegate'), ['serve', '--help'], { encoding: 'utf8' });
  /** Whether each of the program's flags takes a value. */
  const known = new Map([...help.matchAll(/^ {2}(--[a-z0-9-]+)( <)?/gm)].map(([, name, value]) => [name ?? '', value !== undefined]));

  const everything = {
    workers: 2,
    watchNamespaces: ['a', 'b'],
    trustedProxies: ['10.0.0.0/8'],
    proxyProtocol: true,
    zone: 'europe-west1-b',
    tracing: { endpoint: 'http://collector:4318', ratio: 0.5 },
    defaultCertificate: 'a/tls',
    allowExternalName: true,
    allowLoopbackFetch: true,
    maxConcurrency: 500,
    cacheMemory: '64MiB',
    maxConnectionsPerClient: 100,
    'affinityKey.secretName': 'affinity',
    redis: { url: 'rediss://gateway@redis.shop.svc:6379?timeout=5', passwordSecret: { name: 'redis', key: 'password' } },
    h2c: false,
    tls: { minVersion: '1.3', maxVersion: '1.3', ciphers: ['TLS_AES_256_GCM_SHA384'] },
  };
  for (const [what, values] of [
    ['without a value', {}],
    ['with all that it has values for', everything],
    ['with addresses', { ...everything, 'publish.addresses': ['192.0.2.1', 'lb.example.com'] }],
  ] as const) {
    test(what, () => {
      const { args } = container(render(values));
      for (const arg of args.slice(1) as string[]) {
        const [name = '', value] = arg.split('=');
        assert.equal(known.get(name), value !== undefined, `serve does not take ${arg}`);
      }
    });

    test(`${what}: the program takes them`, () => {
      // Where it looks for objects is wrong usage beside --watch-namespace, and told after every flag was read.
      const { args } = container(render(values));
      const environment = { PATH: process.env.PATH };
      const { status, stderr } = (() => {
        try {
          execFileSync(join(root, 'bin/tidegate'), [...args], { env: environment, stdio: 'pipe', encoding: 'utf8' });
          return { status: 0, stderr: '' };
        } catch (error) {
          return error as { status: number; stderr: string };
        }
      })();
      assert.equal(status, 2);
      assert.match(stderr, /nothing says where objects come from/);
    });
  }
});
