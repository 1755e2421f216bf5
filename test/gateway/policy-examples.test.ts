/** Every example in manifests/policies/ does what its comments say. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { loadAll } from 'js-yaml';
import { RedisServer } from '../redis/redis-server.ts';
import { Backend } from './backend.ts';
import { send } from './client.ts';
import { checkAnswer, parseExample } from './example-requests.ts';
import { GatewayUnderTest } from './gateway.ts';
import { failing, GrpcBackend, type GrpcResponder } from './grpc-backend.ts';
import { wholeFile } from './lifetime.ts';
import { service } from './manifests.ts';
import { OidcServer } from './oidc-server.ts';

const FOLDER = join(import.meta.dirname, '../../manifests/policies');

/** Answers with JSON that tells what it got. */
const describing = ({ head, body }: { head: string; body: string }): string => {
  const [line = '', ...fields] = head.split('\r\n');
  const [method, path] = line.split(' ');
  const text = JSON.stringify({ backend: 'web', method, path, fields: fields.length, body });
  return `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
};

/** A service for external authorization: it knows one token. */
const authorizing = ({ head }: { head: string }): string => {
  const token = /^authorization: Bearer (.*)$/im.exec(head)?.[1];
  if (token === 'good') return 'HTTP/1.1 200 OK\r\nX-User: alice\r\nContent-Length: 0\r\n\r\n';
  if (token === undefined) return 'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 0\r\n\r\n';
  return 'HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n\r\nnot you';
};

/** The descriptor set that an example brings along. */
function descriptorsOf(file: string): Buffer {
  const objects = loadAll(readFileSync(join(FOLDER, file), 'utf8')) as { readonly binaryData?: Readonly<Record<string, string>> }[];
  const [text = ''] = objects.flatMap(({ binaryData = {} }) => Object.values(binaryData));
  return Buffer.from(text, 'base64');
}

/** Knows one order; whatever else it is asked, it answers with that. */
const ordering: GrpcResponder = (stream, call, answer) => {
  if (call.path === '/shop.v1.Orders/GetOrder' && (call.message as { id?: string }).id !== '7') failing(5, 'no such order')(stream, call, answer);
  else answer(call.message);
};

describe('manifests/policies/', () => {
  let backend: Backend;
  let orders: GrpcBackend;
  let auth: Backend;
  let provider: OidcServer;
  let redis: RedisServer;
  /** One for each list of flags, started when first needed. */
  const gateways = new Map<string, Promise<GatewayUnderTest>>();
  before(async () => {
    backend = await Backend.start(wholeFile, describing);
    auth = await Backend.start(wholeFile, authorizing);
    orders = await GrpcBackend.start(wholeFile, descriptorsOf('grpc-json.yaml'), ['shop.v1.Orders']);
    orders.respond = ordering;
    redis = await RedisServer.start(wholeFile);
    provider = await OidcServer.start(wholeFile, { redirectUris: ['http://shop.example.com/oauth2/callback'] });
  });

  const services = (): string => {
    const grpc = service('orders', [orders.port], 'shop').replace('port: 80 }', 'port: 80, appProtocol: kubernetes.io/h2c }');
    return service('web', [backend.port], 'shop') + service('auth', [auth.port], 'shop') + grpc;
  };

  /** One worker, so that what one request shows is in force for the next. */
  const gatewayWith = (flags: readonly string[]): Promise<GatewayUnderTest> => {
    const key = flags.join(' ');
    const started = gateways.get(key) ?? GatewayUnderTest.start(wholeFile, { 'services.yaml': services() }, ['--workers', '1', ...flags]);
    gateways.set(key, started);
    return started;
  };

  for (const file of readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'))) {
    test(file, async () => {
      const text = readFileSync(join(FOLDER, file), 'utf8')
        .replaceAll('https://login.example.com', provider.issuer)
        // A machine that is busy is not a slow Redis.
        .replaceAll('redis.shop.svc:6379', `127.0.0.1:${redis.port}?timeout=10000`);
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
