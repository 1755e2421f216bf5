/** h2spec, strict, against both ports: every case is a test of its own. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { answering, Backend } from '../gateway/backend.ts';
import { GatewayUnderTest } from '../gateway/gateway.ts';
import { endWith } from '../gateway/lifetime.ts';
import { catchAll, service } from '../gateway/manifests.ts';
import { built, runForeign } from './foreign-program.ts';

/** Cases that ask for what the RFC does not, by port, section and name, with the reason. */
const EXCEPTIONS: Readonly<Record<'http' | 'https', Readonly<Record<string, string>>>> = {
  http: {
    'http2/3.5 Sends invalid connection preface':
      'Where HTTP/1.1 is spoken on the same port, what is no preface is a request of HTTP/1.1, and a bad one: 400 (RFC 9113 section 3.3 leaves it to prior knowledge).',
  },
  https: {},
};

interface Case {
  readonly name: string;
  readonly failure: string | undefined;
}

/** h2spec's JUnit report. Cases that it skipped count as failed. */
function casesOf(report: string): Case[] {
  const found: Case[] = [];
  for (const [, attributes = '', _ending, content = ''] of report.matchAll(/<testcase([^>]*?)(\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const attribute = (name: string): string => new RegExp(` ${name}="([^"]*)"`).exec(attributes)?.[1] ?? '';
    const bad = /<(failure|error|skipped)[\s>/]/.test(content);
    found.push({ name: `${attribute('package')} ${attribute('classname')}`, failure: bad ? content.replace(/<[^>]*>/g, ' ') : undefined });
  }
  return found;
}

for (const port of ['http', 'https'] as const) {
  test(`h2spec on the ${port} port`, async (t) => {
    const backend = await Backend.start(t, answering('hello'));
    const gateway = await GatewayUnderTest.start(t, { 'all.yaml': service('web', [backend.port]) + catchAll('web') }, ['--workers', '1']);
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-h2spec-'));
    endWith(t, () => rmSync(folder, { recursive: true }));
    const report = join(folder, 'report.xml');
    const secure = port === 'https' ? ['--tls', '--insecure'] : [];
    const { output } = await runForeign(built('h2spec'), [
      ...['--host', '127.0.0.1', '--port', String(gateway[port]), '--strict', '--timeout', '10', '--junit-report', report],
      ...secure,
    ]);
    let cases: Case[];
    try {
      cases = casesOf(readFileSync(report, 'utf8'));
    } catch {
      throw new Error(`h2spec wrote no report:\n${output}`);
    }
    assert.ok(cases.length >= 140, `only ${cases.length} cases were run:\n${output}`);
    for (const { name, failure } of cases) {
      await t.test(name, () => {
        const exception = EXCEPTIONS[port][name];
        if (exception === undefined) assert.equal(failure, undefined, failure ?? '');
        else assert.notEqual(failure, undefined, `passes now, so it is no exception any more: ${exception}`);
      });
    }
  });
}
