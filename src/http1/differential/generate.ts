/** Messages that are right, nearly right, and wrong in the ways that matter. Characters are bytes. */
import type { Random } from './random.ts';

const METHODS = [
  'GET',
  'GET',
  'GET',
  'POST',
  'POST',
  'PUT',
  'HEAD',
  'OPTIONS',
  'DELETE',
  'PATCH',
  'QUERY',
  'PURGE',
  'M-SEARCH',
  'TRACE',
  'CONNECT',
  'get',
  'FOO',
  'G\tT',
  '',
];
const TARGETS = [
  '/',
  '/',
  '/a/b?c=d',
  '/%7e/../x',
  '/a//b',
  '/?',
  '*',
  'http://a/',
  'http://a',
  'http://b/x',
  'HTTP://A:80/?q',
  '/\xc3\xa4',
  '/a b',
  '/#',
  '',
  'a',
  '/%2f',
  '/a|b{c}^`"<>',
  '/\\',
  'a:80',
  '//',
  '/?a=/../b#',
];
const VERSIONS = [
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.0',
  'HTTP/1.0',
  'HTTP/1.2',
  'HTTP/2.0',
  'http/1.1',
  'HTTP/1.1 ',
  'HTTP/01.1',
  '',
];
const LINE_ENDS = ['\r\n', '\n', '\r', '\r\r\n', '\n\r', ''];
const HOSTS = ['a', 'a', 'a', 'A', 'a:80', 'a:', 'b', '', 'a b', 'a,b', 'a/b', '[::1]', '127.0.0.1:8080', 'xn--a.example.'];
const CODINGS = [
  'chunked',
  'chunked',
  'Chunked',
  'gzip, chunked',
  'chunked, gzip',
  'identity',
  'chunked, chunked',
  ' chunked ',
  '\tchunked',
  '\x0bchunked',
  'chunked;a=b',
  '"chunked"',
  '',
  ',chunked',
  'xchunked',
  'chunked\0',
];
const LENGTHS = ['0', '00', '+5', '-1', '0x5', '5, 5', '5,', '5 5', '', '1e1', '18446744073709551621', '9007199254740993', '5\0', '\x0b5', '5;'];
const CONNECTIONS = [
  'keep-alive',
  'close',
  'Close',
  'upgrade',
  'Upgrade, HTTP2-Settings',
  'x-a',
  'host',
  'content-length',
  'transfer-encoding, close',
  'keep-alive, close',
  ',,',
  'a b',
  'te',
];
const FIELDS = [
  'X-A: 1',
  'x-a:2',
  'X-B: \t v \t',
  'Accept: */*',
  'X-Empty:',
  'X_Under: 1',
  'Content_Length: 3',
  '__proto__: x',
  'constructor: y',
  'Cookie: a=b; c=d',
  'X-High: \xff\x80',
  'X-Tab: a\tb',
  'TE: trailers',
  'Upgrade: h2c',
  'Upgrade: websocket',
  'Expect: 100-continue',
  'Expect: x',
  'Trailer: X-T',
  'Keep-Alive: timeout=1',
  'Proxy-Connection: x',
  'X-Quoted: "a, b"',
  'Authorization: x',
  'HTTP2-Settings: AA',
  'Date: now',
  "!#$%&'*+-.^`|~: t",
];
const BAD_FIELDS = [
  'X-A : 1',
  ' X-A: 1',
  'X-A',
  ': 1',
  'X A: 1',
  'X-A: a\0b',
  'X-A: a\rb',
  'X-A: a\nb',
  'X\x80: 1',
  'X-A\t: 1',
  '\tfolded',
  ' folded: 1',
  'X-A: \x7f',
  'X-A: \x01',
  'X(A): 1',
  'X-A:\r',
  'X[]: 1',
  'X@: 1',
];
const EXTENSIONS = ['', '', '', ';a', ';a=b', ';a="b;\\"c"', '; a', ' ;a', ';', ';a=', ';=b', ';a=b c', ';a\n', ';a="\r\n"', ';a;b=c', ';a="b', ' ', '\t'];
const TRAILERS = [
  '',
  '',
  '',
  '',
  'X-T: 1\r\n',
  'x-t:2\r\nX-U: 3\r\n',
  'Content-Length: 5\r\n',
  'Host: b\r\n',
  'X_T: 1\r\n',
  'X-T : 1\r\n',
  'X-T\r\n',
  ' x\r\n',
  'X-T: \0\r\n',
];
const STATUSES = [
  '200 OK',
  '200 OK',
  '200 OK',
  '200',
  '200 ',
  '404 Not Found',
  '204 No Content',
  '304 Not Modified',
  '100 Continue',
  '103 Early Hints',
  '101 Switching Protocols',
  '599 x',
  '600 x',
  '99 x',
  '2000 x',
  '2x0 y',
  '200\tOK',
  '200  OK',
  '200 \xff',
  '200 \0',
  '000 x',
  '102 P',
];
const INTERESTING = [
  '\0',
  '\t',
  '\n',
  '\r',
  ' ',
  ':',
  ',',
  ';',
  '=',
  '"',
  '0',
  '5',
  'a',
  'F',
  '-',
  '+',
  '_',
  '\x0b',
  '\x0c',
  '\x7f',
  '\x80',
  '\xff',
  '\r\n',
  '\r\n\r\n',
  '0\r\n\r\n',
  'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
  'Content-Length: 5\r\n',
  'Transfer-Encoding: chunked\r\n',
  '/',
  '%',
  '#',
];

/** Mostly CRLF. */
function lineEnd(random: Random): string {
  return random.oneIn(150) ? random.pick(LINE_ENDS) : '\r\n';
}

/** Field lines, without the empty line. */
function fields(random: Random, first: readonly string[]): string {
  const lines = [...first];
  for (let count = random.below(4); count > 0; count--)
    lines.splice(random.below(lines.length + 1), 0, random.oneIn(100) ? random.pick(BAD_FIELDS) : random.pick(FIELDS));
  if (random.oneIn(4)) lines.splice(random.below(lines.length + 1), 0, `Connection: ${random.pick(CONNECTIONS)}`);
  return lines.map((line) => line + lineEnd(random)).join('');
}

function text(random: Random, length: number): string {
  let data = '';
  while (data.length < length) data += random.oneIn(4) ? random.pick(INTERESTING) : 'x';
  return data.slice(0, length);
}

function chunkedBody(random: Random): string {
  let body = '';
  for (let count = random.below(4); count > 0; count--) {
    const length = 1 + random.below(20);
    let size = length.toString(16);
    if (random.oneIn(3)) size = size.toUpperCase();
    if (random.oneIn(6)) size = `0${size}`;
    if (random.oneIn(60)) size = random.pick(['', '0x5', '-1', '+5', ' 5', '5 ', 'g', 'ffffffffffffffff', '1_0', '\x0b5']);
    const data = random.oneIn(60) ? text(random, length + random.below(3) - 1) : text(random, length);
    body += `${size}${random.oneIn(5) ? random.pick(EXTENSIONS) : ''}${lineEnd(random)}${data}${lineEnd(random)}`;
  }
  return `${body}${random.oneIn(10) ? '000' : '0'}${random.oneIn(20) ? random.pick(EXTENSIONS) : ''}${lineEnd(random)}${random.pick(TRAILERS)}${lineEnd(random)}`;
}

/** A body with the lines that announce it. */
function framed(random: Random): { lines: string[]; body: string } {
  const length = random.below(30);
  switch (random.below(30)) {
    case 0:
      return { lines: [`Content-Length: ${length}`, 'Transfer-Encoding: chunked'], body: chunkedBody(random) };
    case 1:
      return { lines: [`Content-Length: ${length}`, `Content-Length: ${random.oneIn(2) ? length : length + 1}`], body: text(random, length) };
    case 2:
      return { lines: [`Content-Length: ${random.pick(LENGTHS)}`], body: text(random, 5) };
    case 3:
      return { lines: [`Transfer-Encoding: ${random.pick(CODINGS)}`], body: chunkedBody(random) };
    case 4:
      return { lines: [`Transfer-Encoding: ${random.pick(CODINGS)}`, `Transfer-Encoding: ${random.pick(CODINGS)}`], body: chunkedBody(random) };
    case 5:
      return { lines: [], body: text(random, random.below(5)) };
    case 6:
    case 7:
    case 8:
    case 9:
    case 10:
    case 15:
    case 16:
    case 17:
      return { lines: [`${random.oneIn(3) ? 'transfer-encoding' : 'Transfer-Encoding'}: chunked`], body: chunkedBody(random) };
    case 11:
    case 12:
    case 13:
    case 14:
    case 18:
    case 19:
      return {
        lines: [`${random.oneIn(3) ? 'CONTENT-LENGTH' : 'Content-Length'}:${random.oneIn(3) ? '' : ' '}${random.oneIn(9) ? '0' : ''}${length}`],
        body: text(random, length),
      };
    default:
      return { lines: [], body: '' };
  }
}

/** A byte here and there changed, put in or taken out. */
function mutated(random: Random, message: string): string {
  let result = message;
  for (let count = random.oneIn(5) ? 1 + random.below(3) : 0; count > 0 && result !== ''; count--) {
    const at = random.below(result.length);
    const kind = random.below(4);
    if (kind === 0) result = result.slice(0, at) + random.pick(INTERESTING) + result.slice(at);
    else if (kind === 1) result = result.slice(0, at) + result.slice(at + 1 + random.below(2));
    else if (kind === 2) result = result.slice(0, at) + random.pick(INTERESTING) + result.slice(at + 1);
    else result = result.slice(0, at) + String.fromCharCode(random.below(256)) + result.slice(at + 1);
  }
  return result;
}

function request(random: Random): string {
  const { lines, body } = framed(random);
  if (!random.oneIn(25)) lines.unshift(`Host: ${random.oneIn(10) ? random.pick(HOSTS) : 'a'}`);
  if (random.oneIn(40)) lines.push(`host: ${random.pick(HOSTS)}`);
  const method = random.oneIn(6) ? random.pick(METHODS) : lines.length > 1 ? 'POST' : 'GET';
  const target = random.oneIn(4) ? random.pick(TARGETS) : '/a?b';
  const version = random.oneIn(5) ? random.pick(VERSIONS) : 'HTTP/1.1';
  const before = random.oneIn(25) ? random.pick(['\r\n', '\r\n\r\n', '\n', '\r', ' ', '\r\n\r\n\r\n']) : '';
  return mutated(random, `${before}${method} ${target} ${version}${lineEnd(random)}${fields(random, lines)}${lineEnd(random)}${body}`);
}

/** What a client sends on one connection: one to four requests. */
export function requests(random: Random): string {
  let message = '';
  for (let count = 1 + random.below(4); count > 0; count--) message += request(random);
  return message;
}

/** What a backend answers to one request. */
export function response(random: Random): string {
  let message = '';
  for (let count = random.oneIn(6) ? 1 + random.below(2) : 0; count > 0; count--)
    message += `HTTP/1.1 ${random.pick(['100 Continue', '103 Early Hints', '102 P'])}${lineEnd(random)}${fields(random, [])}${lineEnd(random)}`;
  const { lines, body } = framed(random);
  const version = random.oneIn(4) ? random.pick(VERSIONS) : 'HTTP/1.1';
  const after = random.oneIn(25) ? random.pick(['\r\n', 'x', 'HTTP/1.1 200 OK\r\n\r\n', '\n']) : '';
  message += `${version} ${random.oneIn(2) ? random.pick(STATUSES) : '200 OK'}${lineEnd(random)}${fields(random, lines)}${lineEnd(random)}${body}${after}`;
  return mutated(random, message);
}

/** The text in the pieces that reads may give it in. */
export function pieces(random: Random, message: string): string[] {
  if (random.oneIn(2)) return [message];
  const places: number[] = [];
  for (let count = 1 + random.below(5); count > 0; count--) places.push(random.below(message.length + 1));
  places.sort((a, b) => a - b);
  return [...places, message.length].map((place, index) => message.slice(index === 0 ? 0 : places[index - 1], place)).filter((piece) => piece !== '');
}
