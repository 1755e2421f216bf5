/** Every example in manifests/policies/ does what its comments say. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { Backend } from './backend.ts';
import { send } from './client.ts';
import { checkAnswer, parseExample } from './example-requests.ts';
import { GatewayUnderTest } from './gateway.ts';
import { wholeFile } from './lifetime.ts';
import { service } from './manifests.ts';

const FOLDER = join(import.meta.dirname, '../../manifests/policies');

/** Answers with JSON that tells what it got. */
const describing = ({ head, body }: { head: string; body: string }): string => {
  const [line = '', ...fields] = head.split('\r\n');
  const [method, path] = line.split(' ');
  const text = JSON.stringify({ backend: 'web', method, path, fields: fields.length, body });
  return `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
};

describe('manifests/policies/', () => {
  let backend: Backend;
  /** One for each list of flags, started when first needed. */
  const gateways = new Map<string, Promise<GatewayUnderTest>>();
  before(async () => {
    backend = await Backend.start(wholeFile, describing);
  });

  /** One worker, so that what one request shows is in force for the next. */
  const gatewayWith = (flags: readonly string[]): Promise<GatewayUnderTest> => {
    const key = flags.join(' ');
    const started =
      gateways.get(key) ?? GatewayUnderTest.start(wholeFile, { 'services.yaml': service('web', [backend.port], 'shop') }, ['--workers', '1', ...flags]);
    gateways.set(key, started);
    return started;
  };

  for (const file of readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'))) {
    test(file, async () => {
      const text = readFileSync(join(FOLDER, file), 'utf8');
      const { flags, requests } = parseExample(text);
      assert.ok(requests.length > 0, 'the example has no requests');
      const gateway = await gatewayWith(flags);
      await put(gateway, file, text);
      for (const request of requests) {
        const { method, url, headers, body } = request;
        const before = backend.requests.length;
        const answer = await send(gateway.http, url.pathname + url.search, { method, headers: { host: url.host, ...headers }, body });
        const seen = backend.requests.slice(before).map((one) => `${one.head}\r\n${one.body}`);
        checkAnswer(request, answer, seen);
      }
    });
  }
});

/** Puts the example in the place of the one before, and waits until it is in force: it brings a route that says so. */
async function put(gateway: GatewayUnderTest, file: string, text: string): Promise<void> {
  const marker = `---
apiVersion: tidegate.dev/v1alpha1
kind: ApiRoute
metadata: { name: marker, namespace: marker }
spec:
  hostnames: [marker.test]
  rules: [{ filters: { directResponse: { statusCode: 200, contentType: text/plain, body: ${file} } } }]
`;
  await gateway.write('.example.yaml', `${text.trimEnd()}\n${marker}`);
  await rename(join(gateway.folder, '.example.yaml'), join(gateway.folder, 'example.yaml'));
  await gateway.until('/', (_status, body) => body === file, { host: 'marker.test' });
}
