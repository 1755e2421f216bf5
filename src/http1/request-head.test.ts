import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { Scan } from './field-scanner.ts';
import { RequestHeadParser } from './request-head.ts';

const LIMITS = { maxHeaderBytes: 16_384, maxFields: 100 };

/** What a parser makes of a text that arrives in pieces: as a plain value, to be compared. */
function read(text: string, cuts: readonly number[] = [], scheme: 'http' | 'https' = 'http', limits = LIMITS) {
  const parser = new RequestHeadParser(limits, scheme);
  parser.begin();
  // Something in front, so that offsets that are not relative to the head's beginning show.
  const bytes = Buffer.from(`....${text}`, 'latin1');
  for (const cut of [...cuts.filter((at) => at < text.length).sort((a, b) => a - b), text.length]) {
    const result = parser.parse(bytes, 4, 4 + cut);
    if (result === Scan.More) continue;
    const head = result === Scan.Done ? parser.finish(bytes, 4) : undefined;
    if (head === undefined) return { fault: parser.fault.reason, status: parser.fault.status };
    const { method, path, query, authority, host, protocol, headBytes, body, expectsContinue, keepAlive } = head;
    assert.equal(parser.headBytes, headBytes);
    return {
      method,
      path,
      query,
      authority,
      host,
      protocol,
      headBytes,
      body,
      expectsContinue,
      keepAlive,
      upgrade: head.upgrade,
      droppedFields: parser.droppedFields,
      fields: head.fields.serialize(),
    };
  }
  return { fault: 'more', status: 0 };
}

function faultOf(text: string, scheme: 'http' | 'https' = 'http'): string {
  const result = read(text, [], scheme);
  return 'fault' in result ? result.fault : `accepted ${JSON.stringify(result)}`;
}

const lines = (...fields: string[]) => fields.map((field) => `${field}\r\n`).join('');
const get = (...fields: string[]) => `GET / HTTP/1.1\r\nHost: a\r\n${lines(...fields)}\r\n`;
const post = (...fields: string[]) => `POST / HTTP/1.1\r\nHost: a\r\n${lines(...fields)}\r\n`;
const SWITCH = ['Connection: keep-alive, Upgrade', 'Upgrade: websocket'];
const handshake = (...fields: string[]) => get(...SWITCH, 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13', ...fields);
const target = (text: string, method = 'GET') => `${method} ${text} HTTP/1.1\r\nHost: a.example\r\n\r\n`;

const REFUSED: readonly (readonly [what: string, text: string, reason: string])[] = [
  ['no target', 'GET HTTP/1.1\r\nHost: a\r\n\r\n', 'bad_target'],
  ['HTTP/0.9', 'GET /\r\n\r\n', 'bad_target'],
  ['two spaces before the target', 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n', 'bad_target'],
  ['two spaces before the version', 'GET /  HTTP/1.1\r\nHost: a\r\n\r\n', 'bad_version'],
  ['space after the version', 'GET / HTTP/1.1 \r\nHost: a\r\n\r\n', 'bad_request_line'],
  ['tab in the request line', 'GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n', 'bad_request_line'],
  ['tab before the version', 'GET /\tHTTP/1.1\r\nHost: a\r\n\r\n', 'bad_target'],
  ['leading space', ' GET / HTTP/1.1\r\nHost: a\r\n\r\n', 'bad_request_line'],
  ['space in the target', 'GET /a b HTTP/1.1\r\nHost: a\r\n\r\n', 'bad_version'],
  ['LF only after the request line', 'GET / HTTP/1.1\nHost: a\r\n\r\n', 'bad_request_line'],
  ['CR only after the request line', 'GET / HTTP/1.1\rHost: a\r\n\r\n', 'bad_request_line'],
  ['LF only before the request line', '\nGET / HTTP/1.1\r\nHost: a\r\n\r\n', 'bad_request_line'],
  ['three empty lines before the request line', '\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n', 'bad_request_line'],
  ['CR before the request line', '\rGET / HTTP/1.1\r\nHost: a\r\n\r\n', 'bad_request_line'],
  ['no method', ' / HTTP/1.1\r\nHost: a\r\n\r\n', 'bad_request_line'],
  ['method that is no token', 'G@T / HTTP/1.1\r\nHost: a\r\n\r\n', 'bad_request_line'],
  ['lower-case method', 'get / HTTP/1.1\r\nHost: a\r\n\r\n', 'unknown_method'],
  ['unknown method', 'GETX / HTTP/1.1\r\nHost: a\r\n\r\n', 'unknown_method'],
  ['TRACE', 'TRACE / HTTP/1.1\r\nHost: a\r\n\r\n', 'trace_refused'],
  ['CONNECT', 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n', 'connect_refused'],
  ['HTTP/1.2', 'GET / HTTP/1.2\r\nHost: a\r\n\r\n', 'bad_version'],
  ['HTTP/2.0', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n', 'bad_version'],
  ['HTTP/0.9 spelled out', 'GET / HTTP/0.9\r\nHost: a\r\n\r\n', 'bad_version'],
  ['HTTP/1.10', 'GET / HTTP/1.10\r\nHost: a\r\n\r\n', 'bad_request_line'],
  ['HTTP/01.1', 'GET / HTTP/01.1\r\nHost: a\r\n\r\n', 'bad_version'],
  ['HTTP/1', 'GET / HTTP/1\r\nHost: a\r\n\r\n', 'bad_version'],
  ['lower-case version', 'GET / http/1.1\r\nHost: a\r\n\r\n', 'bad_version'],
  ['other protocol', 'GET / HTTPS/1.1\r\nHost: a\r\n\r\n', 'bad_version'],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'unknown_method'],
  ['a TLS handshake', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 'bad_request_line'],

  ['NUL in the target', 'GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n', 'bad_target'],
  ['DEL in the target', target('/\x7f'), 'bad_target'],
  ['UTF-8 in the target', target('/\xc3\xa4'), 'bad_target'],
  ['fragment', target('/a#b'), 'bad_target'],
  ['fragment in the query', target('/a?b#c'), 'bad_target'],
  ['relative target', target('a/b'), 'bad_target'],
  ['query only', target('?a'), 'bad_target'],
  ['encoded slash', target('/a%2fb'), 'bad_path'],
  ['encoded backslash', target('/a%5Cb'), 'bad_path'],
  ['encoded NUL', target('/a%00'), 'bad_path'],
  ['backslash', target('/a\\b'), 'bad_path'],
  ['broken escape', target('/%g0'), 'bad_path'],
  ['asterisk with GET', target('*'), 'bad_target'],
  ['asterisk and more', target('*/', 'OPTIONS'), 'bad_target'],
  ['authority only', target('a.example:80'), 'bad_target'],
  ['other scheme', target('ftp://a.example/'), 'bad_target'],
  ['https on a plain connection', target('https://a.example/'), 'bad_target'],
  ['absolute target of another host', target('http://b.example/'), 'host_mismatch'],
  ['absolute target of another port', target('http://a.example:8080/'), 'host_mismatch'],
  ['absolute target with user information', target('http://u@a.example/'), 'bad_host'],
  ['absolute target without a host', target('http:///a'), 'bad_host'],
  ['absolute target with an encoded slash', target('http://a.example/%2F'), 'bad_path'],

  ['no Host', 'GET / HTTP/1.1\r\n\r\n', 'bad_host'],
  ['no Host with an absolute target', 'GET http://a/ HTTP/1.1\r\n\r\n', 'bad_host'],
  ['two Hosts', get('Host: a'), 'bad_host'],
  ['two Hosts that differ', get('hOST: b'), 'bad_host'],
  ['two Hosts in HTTP/1.0', 'GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n', 'bad_host'],
  ['empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n', 'bad_host'],
  ['list of Hosts', 'GET / HTTP/1.1\r\nHost: a, b\r\n\r\n', 'bad_host'],
  ['Host with a path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 'bad_host'],
  ['Host with user information', 'GET / HTTP/1.1\r\nHost: u@a\r\n\r\n', 'bad_host'],
  ['Host with a bad port', 'GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n', 'bad_host'],
  ['Host with a blank', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n', 'bad_host'],

  ['space before the colon', get('X-A : 1'), 'bad_field'],
  ['tab before the colon', get('X-A\t: 1'), 'bad_field'],
  ['space in a name', get('X A: 1'), 'bad_field'],
  ['no colon', get('X-A'), 'bad_field'],
  ['empty name', get(': 1'), 'bad_field'],
  ['name that is no token', get('X(A): 1'), 'bad_field'],
  ['name with a byte above ASCII', get('X\xe4: 1'), 'bad_field'],
  ['NUL in a name', get('X\0A: 1'), 'bad_field'],
  ['folded line', get('X-A: 1', ' 2'), 'bad_field'],
  ['line folded with a tab', get('X-A: 1', '\t2'), 'bad_field'],
  ['blank before the first field', 'GET / HTTP/1.1\r\n Host: a\r\n\r\n', 'bad_field'],
  ['bare LF after a field', 'GET / HTTP/1.1\r\nHost: a\nX-A: 1\r\n\r\n', 'bad_field'],
  ['bare CR after a field', 'GET / HTTP/1.1\r\nHost: a\rX-A: 1\r\n\r\n', 'bad_field'],
  ['bare CR within a value', get('X-A: 1\r2'), 'bad_field'],
  ['CR CR LF', get('X-A: 1\r'), 'bad_field'],
  ['bare LF as the empty line', 'GET / HTTP/1.1\r\nHost: a\r\n\n', 'bad_field'],
  ['bare CR as the empty line', 'GET / HTTP/1.1\r\nHost: a\r\n\rX', 'bad_field'],
  ['NUL in a value', get('X-A: a\0b'), 'bad_field'],
  ['control character in a value', get('X-A: a\x08b'), 'bad_field'],
  ['vertical tab in a value', get('X-A: a\x0bb'), 'bad_field'],
  ['DEL in a value', get('X-A: a\x7f'), 'bad_field'],

  ['Content-Length and Transfer-Encoding', post('Content-Length: 1', 'Transfer-Encoding: chunked'), 'ambiguous_length'],
  ['Transfer-Encoding and Content-Length', post('Transfer-Encoding: chunked', 'Content-Length: 0'), 'ambiguous_length'],
  ['Content-Length twice', post('Content-Length: 1', 'Content-Length: 1'), 'bad_content_length'],
  ['Content-Length twice and different', post('Content-Length: 1', 'content-length: 2'), 'bad_content_length'],
  ['list of lengths', post('Content-Length: 1, 1'), 'bad_content_length'],
  ['signed length', post('Content-Length: +1'), 'bad_content_length'],
  ['negative length', post('Content-Length: -1'), 'bad_content_length'],
  ['hexadecimal length', post('Content-Length: 0x1'), 'bad_content_length'],
  ['hex digits in a length', post('Content-Length: 1a'), 'bad_content_length'],
  ['empty length', post('Content-Length:'), 'bad_content_length'],
  ['fraction', post('Content-Length: 1.0'), 'bad_content_length'],
  ['blank within a length', post('Content-Length: 1 2'), 'bad_content_length'],
  ['length with an exponent', post('Content-Length: 1e1'), 'bad_content_length'],
  ['over-long length', post('Content-Length: 1000000000000000'), 'bad_content_length'],
  ['length that wraps around 64 bits', post('Content-Length: 18446744073709551617'), 'bad_content_length'],
  ['length with leading zeros beyond all measure', post(`Content-Length: ${'0'.repeat(16)}1`), 'bad_content_length'],
  ['full-width digit', post('Content-Length: \xb2'), 'bad_content_length'],
  ['chunked in HTTP/1.0', 'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n', 'bad_transfer_encoding'],
  ['unknown coding in HTTP/1.0', 'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n', 'bad_transfer_encoding'],
  ['a tab behind chunked', post('Transfer-Encoding: chunked\t'), 'bad_transfer_encoding'],
  ['a blank and a tab behind chunked', post('Transfer-Encoding: chunked\t '), 'bad_transfer_encoding'],
  ['chunked not final', post('Transfer-Encoding: chunked, gzip'), 'bad_transfer_encoding'],
  ['chunked not final, in two fields', post('Transfer-Encoding: chunked', 'Transfer-Encoding: identity'), 'bad_transfer_encoding'],
  ['chunked twice', post('Transfer-Encoding: chunked, chunked'), 'bad_transfer_encoding'],
  ['chunked in two fields', post('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'), 'bad_transfer_encoding'],
  ['empty coding', post('Transfer-Encoding:'), 'bad_transfer_encoding'],
  ['empty list element', post('Transfer-Encoding: , chunked'), 'bad_transfer_encoding'],
  ['trailing comma', post('Transfer-Encoding: chunked,'), 'bad_transfer_encoding'],
  ['vertical tab before the coding', post('Transfer-Encoding: \x0bchunked'), 'bad_field'],
  ['quoted coding', post('Transfer-Encoding: "chunked"'), 'bad_transfer_encoding'],
  ['parameter', post('Transfer-Encoding: chunked;q=1'), 'bad_transfer_encoding'],
  ['no-break space', post('Transfer-Encoding: \xa0chunked'), 'bad_transfer_encoding'],
  ['unknown coding', post('Transfer-Encoding: gzip, chunked'), 'unknown_transfer_coding'],
  ['unknown coding alone', post('Transfer-Encoding: gzip'), 'unknown_transfer_coding'],
  ['identity', post('Transfer-Encoding: identity'), 'unknown_transfer_coding'],
  ['what only looks like chunked', post('Transfer-Encoding: xchunked'), 'unknown_transfer_coding'],

  ['unknown expectation', post('Content-Length: 1', 'Expect: 200-ok'), 'unknown_expectation'],
  ['two expectations', post('Content-Length: 1', 'Expect: 100-continue', 'Expect: 100-continue'), 'unknown_expectation'],
  ['upgrade to WebSocket with a body', handshake('Content-Length: 1'), 'upgrade_refused'],
  ['upgrade to WebSocket with a chunked body', handshake('Transfer-Encoding: chunked'), 'upgrade_refused'],
  ['WebSocket without a key', get(...SWITCH, 'Sec-WebSocket-Version: 13'), 'bad_handshake'],
  ['WebSocket with two keys', handshake('Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=='), 'bad_handshake'],
  ['WebSocket with a key that Connection takes away', handshake('Connection: Sec-WebSocket-Key'), 'bad_handshake'],
  ['WebSocket with a short key', get(...SWITCH, 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: AAAA'), 'bad_handshake'],
  ['WebSocket with a key that is no base64', get(...SWITCH, 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAA*=='), 'bad_handshake'],
  ['WebSocket with a key of odd bits', get(...SWITCH, 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAB=='), 'bad_handshake'],
  ['WebSocket without a version', get(...SWITCH, 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='), 'bad_handshake'],
  ['WebSocket with two versions', handshake('Sec-WebSocket-Version: 8'), 'bad_handshake'],
  ['WebSocket with a list of versions', get(...SWITCH, 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13, 8'), 'bad_handshake'],
  ['upgrade to h2c with a body', post('Content-Length: 1', 'Connection: Upgrade', 'Upgrade: h2c'), 'upgrade_refused'],
  ['Connection with what is no token', get('Connection: a b'), 'bad_connection'],
  ['Connection with a host of options', get(`Connection: ${'a,'.repeat(100)}`), 'bad_connection'],
];

describe('RequestHeadParser', () => {
  for (const [what, text, reason] of REFUSED) it(`refuses ${what}`, () => assert.equal(faultOf(text), reason));

  it('refuses http:// on a TLS connection', () => assert.equal(faultOf(target('http://a.example/'), 'https'), 'bad_target'));

  it('answers with the status of each fault', () => {
    const status = (text: string) => read(text).status;
    assert.equal(status('CONNECT a:1 HTTP/1.1\r\n'), 405);
    assert.equal(status(post('Transfer-Encoding: gzip')), 501);
    assert.equal(status(post('Content-Length: 1', 'Expect: x')), 417);
    assert.equal(status(handshake('Content-Length: 1')), 501);
    assert.equal(status(get(...SWITCH, 'Sec-WebSocket-Version: 13')), 400);
    assert.equal(status(get('X A: 1')), 400);
  });

  it('limits the request line with 414, the section with 431', () => {
    const line = (length: number) => `GET /${'a'.repeat(length - 'GET / HTTP/1.1\r\n'.length)} HTTP/1.1\r\n`;
    assert.deepEqual(read(`${line(20_000)}Host: a\r\n\r\n`), { fault: 'target_too_long', status: 414 });
    assert.deepEqual(read(`${line(16_385)}Host: a\r\n\r\n`), { fault: 'target_too_long', status: 414 });
    assert.deepEqual(read(`${line(16_380)}Host: a\r\n\r\n`), { fault: 'head_too_large', status: 431 });
    assert.deepEqual(read(`${'G'.repeat(20_000)}`), { fault: 'target_too_long', status: 414 });
    const fitting = get(`X-A: ${'a'.repeat(16_384 - get('X-A: ').length)}`);
    assert.equal(fitting.length, 16_384);
    assert.equal('headBytes' in read(fitting) && read(fitting).status, undefined);
    assert.deepEqual(read(fitting.replace('X-A: a', 'X-A: aa')), { fault: 'head_too_large', status: 431 });
    assert.deepEqual(read(get(`X-A: ${'a'.repeat(60_000)}`)), { fault: 'head_too_large', status: 431 });
    assert.deepEqual(read(get(`${'a'.repeat(60_000)}: 1`)), { fault: 'head_too_large', status: 431 });
  });

  it('limits the number of fields with 431', () => {
    assert.equal(faultOf(get(...Array.from({ length: 99 }, (_, index) => `X-${index}: 1`))).startsWith('accepted'), true);
    assert.deepEqual(read(get(...Array.from({ length: 100 }, (_, index) => `X-${index}: 1`))), { fault: 'too_many_fields', status: 431 });
  });

  it('reads a plain request', () => {
    const text = 'GET /a/./b/%7ec?x=%2F&y HTTP/1.1\r\nHost: Example.COM:8080\r\nAccept: */*\r\n\r\n';
    assert.deepEqual(read(text), {
      method: 'GET',
      path: '/a/b/~c',
      query: '?x=%2F&y',
      authority: 'Example.COM:8080',
      host: 'example.com',
      protocol: 'HTTP/1.1',
      headBytes: text.length,
      body: -2,
      expectsContinue: false,
      keepAlive: true,
      upgrade: '',
      droppedFields: 0,
      fields: 'Host: Example.COM:8080\r\nAccept: */*\r\n',
    });
  });

  it('tells bodies apart', () => {
    const body = (text: string) => (read(text) as { body: number }).body;
    assert.equal(body(post()), -2);
    assert.equal(body(post('Content-Length: 0')), 0);
    assert.equal(body(post('Content-Length: 00042')), 42);
    assert.equal(body(post('Content-Length:  999999999999999\t')), 999_999_999_999_999);
    assert.equal(body(post('Transfer-Encoding: chunked')), -1);
    assert.equal(body(post('transfer-encoding: \tCHUNKED ')), -1);
  });

  it('takes an empty line or two before the request', () => {
    for (const before of ['\r\n', '\r\n\r\n']) {
      const result = read(`${before}${get('X-A: 1')}`);
      assert.equal('headBytes' in result && result.headBytes, before.length + get('X-A: 1').length);
      assert.equal('fields' in result && result.fields, 'Host: a\r\nX-A: 1\r\n');
    }
  });

  it('serves HTTP/1.0, with or without a Host', () => {
    const result = read('GET / HTTP/1.0\r\n\r\n');
    assert.deepEqual('host' in result && [result.host, result.authority, result.protocol, result.keepAlive], ['', '', 'HTTP/1.0', false]);
    const kept = read('GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n');
    assert.deepEqual('host' in kept && [kept.host, kept.keepAlive, kept.fields], ['a', true, 'Host: a\r\n']);
    const expecting = read('POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n');
    assert.deepEqual('host' in expecting && [expecting.expectsContinue, expecting.fields], [false, '']);
  });

  it('takes absolute targets of the same host, and asterisks with OPTIONS', () => {
    const read4 = (text: string, scheme: 'http' | 'https' = 'http') => {
      const result = read(text, [], scheme);
      return 'path' in result ? [result.path, result.query, result.authority, result.host, result.fields] : result.fault;
    };
    assert.deepEqual(read4(target('http://a.example/b?c')), ['/b', '?c', 'a.example', 'a.example', 'Host: a.example\r\n']);
    assert.deepEqual(read4(target('HTTP://A.example:80?c')), ['/', '?c', 'A.example:80', 'a.example', 'Host: A.example:80\r\n']);
    assert.deepEqual(read4(target('http://a.example')), ['/', '', 'a.example', 'a.example', 'Host: a.example\r\n']);
    assert.deepEqual(read4(target('https://a.example:443/x'), 'https'), ['/x', '', 'a.example:443', 'a.example', 'Host: a.example:443\r\n']);
    assert.deepEqual(read4(target('*', 'OPTIONS')), ['*', '', 'a.example', 'a.example', 'Host: a.example\r\n']);
    assert.deepEqual(read4(target('http://a.example', 'OPTIONS')), ['*', '', 'a.example', 'a.example', 'Host: a.example\r\n']);
    assert.deepEqual(read4(target('http://a.example/', 'OPTIONS')), ['/', '', 'a.example', 'a.example', 'Host: a.example\r\n']);
  });

  it('removes what concerns the connection only, and what Connection names, but nothing that matters to others', () => {
    const result = read(
      post(
        'Connection: close, X-Own, Host, Authorization, Cookie, Content-Length, X-Forwarded-For, x-forwarded-user, X-Real-IP, Forwarded, ssl-client-verify, Client-Cert',
        'Connection: X-Second,,',
        'X-Own: 1',
        'x-second: 2',
        'X-Third: 3',
        'Authorization: Basic eA==',
        'Cookie: a=b',
        'Content-Length: 3',
        'X-Forwarded-For: 1',
        'X-Forwarded-User: u',
        'X-Real-IP: 1',
        'Forwarded: for=1',
        'SSL-Client-Verify: NONE',
        'Client-Cert: :eA==:',
        'Keep-Alive: timeout=5',
        'Proxy-Connection: keep-alive',
        'TE: trailers',
        'Trailer: X-T',
        'Upgrade: h2c',
        'HTTP2-Settings: AAA',
        'Proxy-Authorization: Basic eA==',
        'Expect: 100-Continue',
      ),
    );
    assert.ok('fields' in result);
    assert.equal(
      result.fields,
      `Host: a\r\n${lines('X-Third: 3', 'Authorization: Basic eA==', 'Cookie: a=b', 'X-Forwarded-For: 1', 'X-Forwarded-User: u', 'X-Real-IP: 1', 'Forwarded: for=1', 'SSL-Client-Verify: NONE', 'Client-Cert: :eA==:')}`,
    );
    assert.equal(result.keepAlive, false);
    assert.equal(result.expectsContinue, true);
    assert.equal(result.body, 3);
  });

  it('takes a WebSocket handshake, which may stand in a list, and says nothing of the rest', () => {
    for (const text of [
      handshake(),
      handshake().replace('websocket', 'WebSocket').replace('Upgrade\r', 'UPGRADE\r'),
      handshake().replace('websocket', 'h2c, websocket'),
      handshake('Upgrade: h2c', 'HTTP2-Settings: AAA'),
    ]) {
      const result = read(text);
      assert.deepEqual(
        'fields' in result && [result.upgrade, result.keepAlive, result.body, result.fields],
        ['websocket', false, -2, 'Host: a\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n'],
        text,
      );
    }
  });

  it('serves what asks for another protocol, method or version as an ordinary request, the last of its connection', () => {
    for (const text of [
      get('Connection: Upgrade', 'Upgrade: TLS/1.0'),
      get('Connection: Upgrade', 'Upgrade: websockets'),
      get(...SWITCH),
      handshake().replace('GET', 'OPTIONS'),
      handshake().replace('GET', 'POST'),
      handshake().replace('Version: 13', 'Version: 8'),
    ]) {
      const result = read(text);
      assert.deepEqual('fields' in result && [result.upgrade, result.keepAlive, /^(?:Upgrade|Connection):/im.test(result.fields)], ['', false, false], text);
    }
    const old = read(handshake().replace('HTTP/1.1', 'HTTP/1.0'));
    assert.deepEqual('fields' in old && [old.upgrade, /upgrade/i.test(old.fields)], ['', false]);
  });

  it('ignores an offer of h2c, and an upgrade that Connection does not name', () => {
    const offer = read(get('Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__'));
    assert.deepEqual('fields' in offer && [offer.fields, offer.keepAlive], ['Host: a\r\n', false]);
    assert.equal(faultOf(get('Upgrade: websocket')).startsWith('accepted'), true);
  });

  it('drops names with underscores, and counts them', () => {
    const result = read(post('Content_Length: 5', 'X_A: 1', 'Transfer_Encoding: chunked', 'X-B: 2', '_: 1', '__proto__: 1'));
    assert.ok('fields' in result);
    assert.deepEqual([result.fields, result.droppedFields, result.body], ['Host: a\r\nX-B: 2\r\n', 5, -2]);
  });

  it('treats names of object members as any other', () => {
    const result = read(get('constructor: 1', 'toString: 2', 'hasOwnProperty: 3'));
    assert.equal('fields' in result && result.fields, 'Host: a\r\nconstructor: 1\r\ntoString: 2\r\nhasOwnProperty: 3\r\n');
  });

  it('gives the same outcome however the bytes arrive', () => {
    const good = [
      get('X-A: 1', 'X_B: 2'),
      post('Content-Length: 10', 'Connection: x-a', 'X-A: 1'),
      target('http://a.example:80/?q'),
      `\r\n\r\n${get(`X-Long: ${'v'.repeat(300)}`)}`,
      'GET / HTTP/1.0\r\n\r\n',
    ];
    const texts = [...good, ...REFUSED.map((item) => item[1]), get('X-A: 1').repeat(2)];
    fc.assert(
      fc.property(fc.constantFrom(...texts), fc.array(fc.nat(400), { maxLength: 12 }), (text, cuts) => {
        assert.deepEqual(read(text, cuts), read(text));
      }),
      { numRuns: 2000 },
    );
    for (const text of texts)
      assert.deepEqual(
        read(
          text,
          Array.from(text, (_, index) => index),
        ),
        read(text),
      );
  });

  it('gives the same outcome of over-long heads however the bytes arrive', () => {
    const limits = { maxHeaderBytes: 64, maxFields: 3 };
    const texts = [
      get(`X-A: ${'a'.repeat(100)}`),
      `GET /${'a'.repeat(100)} HTTP/1.1\r\n`,
      `${'G'.repeat(100)}`,
      get('A: 1', 'B: 2', 'C: 3'),
      get(`X-A: ${'a'.repeat(24)}`),
      get(`X-A: ${'a'.repeat(50)}\0`),
      `${'\r\n'.repeat(50)}`,
    ];
    for (const text of texts) {
      for (let cut = 0; cut < text.length; cut++) assert.deepEqual(read(text, [cut], 'http', limits), read(text, [], 'http', limits));
      assert.deepEqual(
        read(
          text,
          Array.from(text, (_, index) => index),
          'http',
          limits,
        ),
        read(text, [], 'http', limits),
      );
    }
  });
});
