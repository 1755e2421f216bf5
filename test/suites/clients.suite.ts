/** curl and nghttp2's clients over HTTP/2, in clear and over TLS. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { answering, Backend, type Responder } from '../gateway/backend.ts';
import { GatewayUnderTest } from '../gateway/gateway.ts';
import { wholeFile } from '../gateway/lifetime.ts';
import { catchAll, service } from '../gateway/manifests.ts';
import { runForeign } from './foreign-program.ts';

const MEGABYTE = 'x'.repeat(1024 * 1024);
let gateway: GatewayUnderTest;

const respond: Responder = (request, socket) => {
  const [method, path] = request.head.split(' ');
  if (method === 'HEAD') return 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n';
  if (path === '/big') return `HTTP/1.1 200 OK\r\nContent-Length: ${MEGABYTE.length}\r\n\r\n${MEGABYTE}`;
  if (path === '/echo') return `HTTP/1.1 200 OK\r\nContent-Length: ${request.body.length}\r\n\r\n${request.body}`;
  if (path === '/trailers') return 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nx-sum: 42\r\n\r\n';
  return answering('hello')(request, socket);
};

before(async () => {
  const backend = await Backend.start(wholeFile, respond);
  gateway = await GatewayUnderTest.start(wholeFile, { 'all.yaml': service('web', [backend.port]) + catchAll('web') }, [
    // No request is to be refused because this machine is busy.
    '--max-concurrency',
    'off',
  ]);
});

/** Flags that make curl speak HTTP/2, and the URL's beginning, for each port. */
function curlTo(port: 'http' | 'https', path: string): string[] {
  const flags = port === 'http' ? ['--http2-prior-knowledge'] : ['--http2', '--insecure'];
  return ['--silent', '--show-error', ...flags, `${port}://127.0.0.1:${gateway[port]}${path}`];
}

for (const port of ['http', 'https'] as const) {
  test(`curl: status, version and body on the ${port} port`, async () => {
    const { code, output } = await runForeign('curl', [...curlTo(port, '/'), '--write-out', ' %{http_code} %{http_version}']);
    assert.equal(code, 0, output);
    assert.equal(output, 'hello 200 2');
  });

  test(`curl: a mebibyte down and up on the ${port} port`, async () => {
    const down = await runForeign('curl', [...curlTo(port, '/big'), '--output', '/dev/null', '--write-out', '%{http_code} %{size_download}']);
    assert.equal(down.output, `200 ${MEGABYTE.length}`);
    const up = await runForeign('curl', [
      ...curlTo(port, '/echo'),
      '--data',
      MEGABYTE.slice(0, 100_000),
      '--output',
      '/dev/null',
      '--write-out',
      '%{http_code} %{size_download}',
    ]);
    assert.equal(up.output, '200 100000');
  });

  test(`curl: HEAD and a field that came as a trailer on the ${port} port`, async () => {
    const head = await runForeign('curl', [...curlTo(port, '/'), '--head']);
    assert.match(head.output, /^HTTP\/2 200 \r\n[\s\S]*content-length: 5\r\n/);
    const trailers = await runForeign('curl', [...curlTo(port, '/trailers'), '--include']);
    assert.match(trailers.output, /ok[\s\S]*x-sum: 42/);
  });

  test(`nghttp: a hundred requests at once on one connection to the ${port} port`, async () => {
    const { code, output } = await runForeign('nghttp', ['--no-verify-peer', '-m', '100', '-n', '-s', `${port}://127.0.0.1:${gateway[port]}/`]);
    assert.equal(code, 0, output);
    assert.equal(output.match(/ 200 +\d+[KM]? +\/$/gm)?.length, 100, output);
  });

  test(`h2load: every request succeeds on the ${port} port`, async () => {
    const { code, output } = await runForeign('h2load', ['-n', '2000', '-c', '10', '-m', '20', `${port}://127.0.0.1:${gateway[port]}/`]);
    assert.equal(code, 0, output);
    assert.match(output, /2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout/);
    assert.match(output, /Application protocol: h2c?\b/);
  });
}
