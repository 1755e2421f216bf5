/**
 * The requests that examples in manifests/policies/ tell of in their comments, and what they get:
 *
 *     # POST http://shop.example.com/orders {"id":1}
 *     #   -H 'x-tenant: acme'
 *     # -> 201
 *     #   location: /orders/1          (a field of the answer)
 *     #   -x-powered-by                (no such field)
 *     #   body: a part of the body
 *     #   backend: x-user-id: alice    (a line of what the backend saw: its request line, a field, or its body)
 *
 * `# serve: --flag value` says which flags the gateway needs; words in capitals are given by the test.
 */
import assert from 'node:assert/strict';
import type { Answer } from './client.ts';

export interface ExampleRequest {
  readonly line: number;
  readonly method: string;
  readonly url: URL;
  readonly headers: Record<string, string>;
  readonly body: string;
  status: number;
  readonly expected: string[];
}

export interface Example {
  readonly flags: readonly string[];
  readonly requests: readonly ExampleRequest[];
}

/** @throws where a comment after the first request is none of these forms and not empty */
export function parseExample(text: string): Example {
  const requests: ExampleRequest[] = [];
  let flags: readonly string[] = [];
  let current: ExampleRequest | undefined;
  for (const [index, line] of text.split('\n').entries()) {
    const comment = /^#(?: (.*))?$/.exec(line)?.[1];
    if (comment === undefined) {
      if (!line.startsWith('#')) current = undefined;
      continue;
    }
    const request = /^([A-Z]+) (https?:\/\/\S+)(?: (.*))?$/.exec(comment);
    const header = /^ +-H '([^:]+): ?(.*)'$/.exec(comment);
    const status = /^-> (\d{3})$/.exec(comment);
    if (comment.startsWith('serve: ')) flags = comment.slice('serve: '.length).split(' ');
    else if (request !== null) {
      current = { line: index + 1, method: request[1] ?? '', url: new URL(request[2] ?? ''), headers: {}, body: request[3] ?? '', status: 0, expected: [] };
      requests.push(current);
    } else if (current !== undefined) {
      if (header !== null) current.headers[header[1] ?? ''] = header[2] ?? '';
      else if (status !== null) current.status = Number(status[1]);
      else if (comment.startsWith('  ') && current.status > 0) current.expected.push(comment.trim());
      else if (comment.trim() !== '') assert.fail(`line ${index + 1} is neither a request nor what it gets: ${line}`);
    }
  }
  for (const { line, status } of requests) assert.ok(status > 0, `the request in line ${line} has no "-> status"`);
  return { flags, requests };
}

/** @param seen the backend's requests that this one caused, whole, as one text each */
export function checkAnswer({ line, status, expected }: ExampleRequest, answer: Answer, seen: readonly string[]): void {
  const where = `line ${line}: got ${answer.status} ${JSON.stringify(answer.headers)} ${answer.body}`;
  assert.equal(answer.status, status, where);
  for (const wanted of expected) {
    if (wanted.startsWith('-')) {
      assert.ok(!(wanted.slice(1) in answer.headers), `${where}; wanted no ${wanted.slice(1)}`);
      continue;
    }
    const [, name = '', value = ''] = /^([^:]+): ?(.*)$/.exec(wanted) ?? assert.fail(`line ${line}: "${wanted}" is no expectation`);
    if (name === 'body') assert.ok(answer.body.includes(value), `${where}; wanted in the body: ${value}`);
    else if (name === 'backend') assert.ok(sawLine(seen, value), `${where}; wanted at the backend: ${value}; it saw ${JSON.stringify(seen)}`);
    else assert.equal(String(answer.headers[name]), value, `${where}; wanted ${wanted}`);
  }
}

/** A name with a minus sign before it is one that the backend must not have seen. */
function sawLine(seen: readonly string[], wanted: string): boolean {
  const lines = seen.flatMap((text) => text.split('\r\n'));
  if (wanted.startsWith('-')) return seen.length > 0 && !lines.some((line) => line.toLowerCase().startsWith(`${wanted.slice(1).toLowerCase()}:`));
  return lines.some((line) => line === wanted || line.toLowerCase() === wanted.toLowerCase());
}
