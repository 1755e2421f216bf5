import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import type { Span } from './span.ts';
import { SpanExporter } from './span-exporter.ts';

const servers: Server[] = [];
after(() => {
  for (const server of servers) server.close();
});

/** A collector that answers with these statuses, the last one from then on. */
async function collector(...statuses: number[]): Promise<{ readonly endpoint: string; readonly bodies: string[]; readonly paths: string[] }> {
  const bodies: string[] = [];
  const paths: string[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    bodies.push(body);
    paths.push(`${request.method} ${request.url} ${request.headers['content-type']}`);
    response.writeHead((statuses.length > 1 ? statuses.shift() : statuses[0]) ?? 200).end();
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, bodies, paths };
}

const span = { name: 'x' } as Span;
const encode = (spans: readonly Span[]): Uint8Array => Buffer.from(String(spans.length));

function exporterTo(endpoint: string, told: string[] = []): SpanExporter {
  return new SpanExporter({ endpoint, encode, log: (_level, message) => told.push(message), firstWait: 5 });
}

test('spans go out in batches of 512, to the path of OTLP', async () => {
  const { endpoint, bodies, paths } = await collector(200);
  const exporter = exporterTo(endpoint);
  exporter.add(Array.from({ length: 1000 }, () => span));
  await exporter.close(5000);
  assert.deepEqual(bodies, ['512', '488']);
  assert.equal(paths[0], 'POST /v1/traces application/x-protobuf');
  assert.deepEqual([exporter.counts.exported, exporter.counts.dropped.size], [1000, 0]);
});

test('a busy collector gets the same spans again; one that refuses them does not', async () => {
  const busy = await collector(503, 429, 200);
  const told: string[] = [];
  const exporter = exporterTo(`${busy.endpoint}/otlp/v1/traces`, told);
  exporter.add([span, span]);
  while (exporter.counts.exported < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  await exporter.close(5000);
  assert.deepEqual(busy.bodies, ['2', '2', '2']);
  assert.ok(busy.paths[0]?.startsWith('POST /otlp/v1/traces'));
  assert.deepEqual(told, ['spans can not be exported', 'spans are exported again']);

  const refusing = await collector(400);
  const other = exporterTo(refusing.endpoint);
  other.add([span, span, span]);
  await other.close(5000);
  assert.deepEqual(refusing.bodies, ['3']);
  assert.deepEqual([other.counts.exported, other.counts.dropped.get('refused')], [0, 3]);
});

test('a collector that is not there costs no more memory than there is room for, and no time at the end', async () => {
  const exporter = exporterTo('http://127.0.0.1:1');
  for (let count = 0; count < 20; count++) exporter.add(Array.from({ length: 512 }, () => span));
  await exporter.close(1000);
  const { exported, dropped } = exporter.counts;
  assert.equal(exported, 0);
  assert.ok((dropped.get('queue_full') ?? 0) > 1000);
  assert.equal(
    [...dropped.values()].reduce((sum, count) => sum + count, 0),
    20 * 512,
  );
});
