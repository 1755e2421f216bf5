/** What the access log says of requests that were refused before there was an exchange. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { Backend } from './backend.ts';
import { raw } from './client.ts';
import { type AccessLine, GatewayUnderTest } from './gateway.ts';
import { wholeFile } from './lifetime.ts';
import { catchAll, service } from './manifests.ts';

let gateway: GatewayUnderTest;

before(async () => {
  const backend = await Backend.start(wholeFile);
  gateway = await GatewayUnderTest.start(wholeFile, { 'all.yaml': service('web', [backend.port]) + catchAll('web') }, ['--workers', '1']);
});

const LONG = 'x'.repeat(20_000);

/** Name, bytes, status and reason; then what the line shows as method, host, path, protocol. */
type Case = readonly [name: string, bytes: string, status: number, reason: string, method: string, host: string, path: string, protocol: string];

const cases: readonly Case[] = [
  ['no HTTP at all', '\x16\x03\x01\r\n\r\n', 400, 'bad_request_line', '', '', '', ''],
  ['unknown method', 'FETCH / HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'unknown_method', 'FETCH', '', '', ''],
  ['unknown method without end', `${'X'.repeat(5_000)} / HTTP/1.1\r\nHost: a\r\n\r\n`, 400, 'unknown_method', '', '', '', ''],
  ['bad version', 'GET /v HTTP/3.0\r\nHost: a\r\n\r\n', 400, 'bad_version', 'GET', '', '/v', ''],
  ['long target', `GET /${LONG} HTTP/1.1\r\nHost: a\r\n\r\n`, 414, 'target_too_long', 'GET', '', '', ''],
  ['encoded slash', 'GET /a%2Fb?c HTTP/1.1\r\nHost: A.test:80\r\n\r\n', 400, 'bad_path', 'GET', 'a.test', '/a%2Fb?c', 'HTTP/1.1'],
  ['two hosts', 'GET /h HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400, 'bad_host', 'GET', '', '/h', 'HTTP/1.1'],
  ['no host', 'GET /h HTTP/1.1\r\n\r\n', 400, 'bad_host', 'GET', '', '/h', 'HTTP/1.1'],
  ['hosts that differ', 'GET http://b/h HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'host_mismatch', 'GET', '', 'http://b/h', 'HTTP/1.1'],
  ['absolute form', 'POST http://b/h?q HTTP/1.1\r\nHost: b\r\nContent-Length: +1\r\n\r\n', 400, 'bad_content_length', 'POST', 'b', '/h?q', 'HTTP/1.1'],
  ['other scheme', 'GET ftp://b/h HTTP/1.1\r\nHost: b\r\n\r\n', 400, 'bad_target', 'GET', '', 'ftp://b/h', 'HTTP/1.1'],
  ['dot segments', 'POST /a/../b HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n', 400, 'bad_transfer_encoding', 'POST', 'a', '/b', 'HTTP/1.0'],
  ['bad field before the host', 'GET /f HTTP/1.1\r\nX : 1\r\nHost: a\r\n\r\n', 400, 'bad_field', 'GET', '', '/f', 'HTTP/1.1'],
  ['bad field after the host', 'GET /f HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n', 400, 'bad_field', 'GET', 'a', '/f', 'HTTP/1.1'],
  ['bad host line', 'GET /f HTTP/1.1\r\nHost: a\nX: b\r\n\r\n', 400, 'bad_field', 'GET', '', '/f', 'HTTP/1.1'],
  ['bare end', 'GET /f HTTP/1.1\r\nX: 1\r\nHost: a\r\n\rX', 400, 'bad_field', 'GET', 'a', '/f', 'HTTP/1.1'],
  ['large field', `GET /f HTTP/1.1\r\nHost: a\r\nX: ${LONG}\r\n\r\n`, 431, 'head_too_large', 'GET', 'a', '/f', 'HTTP/1.1'],
  ['large host', `GET /f HTTP/1.1\r\nHost: ${LONG}\r\n\r\n`, 431, 'head_too_large', 'GET', '', '/f', 'HTTP/1.1'],
  ['many fields', `GET /f HTTP/1.1\r\nHost: a\r\n${'X: 1\r\n'.repeat(100)}\r\n`, 431, 'too_many_fields', 'GET', 'a', '/f', 'HTTP/1.1'],
  ['transfer coding', 'POST /t HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n', 501, 'unknown_transfer_coding', 'POST', 'a', '/t', 'HTTP/1.1'],
  [
    'upgrade',
    'GET /u HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 1\r\n\r\n',
    501,
    'upgrade_refused',
    'GET',
    'a',
    '/u',
    'HTTP/1.1',
  ],
  ['large body', 'POST /l HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n', 413, 'body_too_large', 'POST', 'a', '/l', 'HTTP/1.1'],
  ['bad chunk', 'POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n', 400, 'bad_chunk', 'POST', 'a', '/c', 'HTTP/1.1'],
  [
    'a credential in the query',
    'GET /?token=secret HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n',
    400,
    'bad_content_length',
    'GET',
    'a',
    '/?token=[redacted]',
    'HTTP/1.1',
  ],
];

describe('access line of a refused request has what was read and is certain', () => {
  for (const [name, bytes, status, reason, method, host, path, protocol] of cases) {
    test(name, async () => {
      const earlier = new Set(gateway.access);
      const answer = await raw(gateway.http, bytes);
      assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `));
      const line: AccessLine = await gateway.untilAccess((entry) => !earlier.has(entry));
      assert.deepEqual([line.status, line.reason, line.method, line.host, line.path, line.protocol], [status, reason, method, host, path, protocol]);
      assert.equal(line.responseBytes, answer.length - (answer.indexOf('\r\n\r\n') + 4));
    });
  }
});
