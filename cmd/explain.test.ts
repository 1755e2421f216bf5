/** The command as a process: what it prints, and what its exit code tells. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CommanderError } from 'commander';
import type { ExplainReport } from '../src/explain/explain.ts';
import { explainCommand } from './explain.ts';

const MANIFESTS = `
apiVersion: tidegate.dev/v1alpha1
kind: ApiRoute
metadata: { name: shop, namespace: shop }
spec:
  hostnames: [shop.example.com]
  rules:
    - name: orders
      matches:
        - path: { type: PathPrefix, value: /v1/orders }
          methods: [GET]
          headers: [{ name: x-tenant, value: acme }]
          clientCIDRs: [10.0.0.0/8]
      filters:
        urlRewrite: { hostname: orders.internal, path: { type: ReplacePrefixMatch, value: /orders } }
      backendRefs: [{ name: orders, port: 80 }]
    - name: rest
      backendRefs: [{ name: outside, port: 80 }]
---
apiVersion: v1
kind: Service
metadata: { name: orders, namespace: shop }
spec: { ports: [{ name: http, port: 80 }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: orders-1, namespace: shop, labels: { kubernetes.io/service-name: orders } }
addressType: IPv4
ports: [{ name: http, port: 8080 }]
endpoints: [{ addresses: [127.0.0.1], conditions: { ready: true } }]
---
apiVersion: v1
kind: Service
metadata: { name: outside, namespace: shop }
spec: { type: ExternalName, externalName: outside.example.org, ports: [{ port: 80 }] }
`;

let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidegate-explain-'));
  writeFileSync(join(folder, 'shop.yaml'), MANIFESTS);
});
after(() => rmSync(folder, { recursive: true }));

function tidegate(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): { readonly code: number | null; readonly out: string; readonly err: string } {
  const program = fileURLToPath(new URL('tidegate.ts', import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, 'explain', ...args], { encoding: 'utf8', env: { ...process.env, ...env } });
  return { code: status, out: stdout, err: stderr };
}

const ORDER = ['GET', 'http://shop.example.com/v1/orders/7?x=1', '-H', 'X-Tenant: acme', '--client-ip', '10.1.2.3'];

test('prints where a request goes, and exits 0', () => {
  const { code, out, err } = tidegate(['--manifests', folder, ...ORDER]);
  assert.equal(err, '');
  assert.match(out, /^GET http:\/\/shop\.example\.com\/v1\/orders\/7\?x=1 from 10\.1\.2\.3\nroute: +ApiRoute\/shop\/shop\/orders\n/);
  assert.match(out, /\nsent: +GET \/orders\/7\?x=1\n +Host: orders\.internal\n/);
  assert.match(out, /\nbackends: +shop\/orders\/80 \(weight 1 of 1, RoundRobin\)\n +127\.0\.0\.1:8080 Ready\n/);
  assert.equal(code, 0);
});

test('--output json prints the report', () => {
  const { code, out } = tidegate(['--output', 'json', ...ORDER], { TIDEGATE_MANIFESTS: folder });
  const report = JSON.parse(out) as ExplainReport;
  assert.equal(report.route?.id, 'ApiRoute/shop/shop/orders');
  assert.equal(report.sent?.target, '/orders/7?x=1');
  assert.deepEqual(
    report.outranked.map(({ route }) => route),
    ['ApiRoute/shop/shop/rest'],
  );
  assert.equal(code, 0);
});

test('tells why a rule does not take the request', () => {
  const { out } = tidegate(['--manifests', folder, 'GET', 'http://shop.example.com/v1/orders', '-H', 'x-tenant: acme']);
  assert.match(out, /near misses: ApiRoute\/shop\/shop\/orders match 1: clientCIDRs: expected an address in 10\.0\.0\.0\/8; got 127\.0\.0\.1\n/);
});

test('--allow-external-name counts', () => {
  const of = (...flags: string[]) =>
    JSON.parse(tidegate(['--manifests', folder, 'GET', 'http://shop.example.com/', '--output', 'json', ...flags]).out) as ExplainReport;
  assert.equal(of().answer?.status, 500);
  assert.equal(of('--allow-external-name').backends[0]?.endpoints[0]?.address, 'outside.example.org');
});

test('exits 1 when nothing matches', () => {
  const { code, out } = tidegate(['--manifests', folder, 'GET', 'http://other.example.com/']);
  assert.match(out, /\nroute: +none\nanswer: +404 \(no_route\)\n/);
  assert.equal(code, 1);
});

test('exits 1, with one line, when the folder is not there', () => {
  const { code, out, err } = tidegate(['--manifests', join(folder, 'missing'), 'GET', 'http://a/']);
  assert.equal(out, '');
  assert.match(err, /^tidegate: .*missing.*\n$/);
  assert.equal(code, 1);
});

for (const [what, args, message] of [
  ['no URL', ['GET'], /missing required argument 'url'/],
  ['a URL that is none', ['GET', 'shop.example.com'], /no URL; expected such as/],
  ['a header without a colon', ['GET', 'http://a/', '-H', 'nonsense'], /expected 'name: value'/],
  ['a bad client address', ['GET', 'http://a/', '--client-ip', '10.0.0'], /expected an IP address/],
  ['an unknown format', ['GET', 'http://a/', '--output', 'xml'], /Allowed choices are text, json/],
  ['an unknown flag', ['GET', 'http://a/', '--verbose'], /unknown option '--verbose'/],
] as const) {
  test(`${what} is wrong usage`, async () => {
    let err = '';
    const command = explainCommand()
      .exitOverride()
      .configureOutput({ writeErr: (text) => (err += text) });
    await assert.rejects(command.parseAsync(['--manifests', folder, ...args], { from: 'user' }), CommanderError);
    assert.match(err, message);
  });
}

test('exits 2 without --manifests', () => {
  assert.equal(tidegate(ORDER).code, 2);
});

test('says how many objects are bad', () => {
  writeFileSync(join(folder, 'bad.yaml'), 'apiVersion: tidegate.dev/v1alpha1\nkind: ApiRoute\nmetadata: { name: bad, namespace: shop }\nspec: { ruls: [] }\n');
  try {
    const { err, code } = tidegate(['--manifests', folder, ...ORDER]);
    assert.match(err, /^tidegate: 1 bad object or file is left out; "tidegate validate .*" tells what is wrong\n$/);
    assert.equal(code, 0);
  } finally {
    rmSync(join(folder, 'bad.yaml'));
  }
});
