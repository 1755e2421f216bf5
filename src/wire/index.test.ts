import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { afterEach, describe, it } from 'node:test';
import { VERIFIED_MAJORS } from './handle/bindings.ts';
import { createWire } from './index.ts';

type Bindings = Record<string, unknown>;
const held = process as unknown as { binding: unknown };
const original = held.binding as (name: string) => Bindings;

/** Node as it may be one day: with `change` made to the internals that it shows. */
function withBindings(change: (name: string, binding: Bindings) => Bindings | undefined): void {
  held.binding = (name: string) => change(name, original.call(process, name)) ?? original.call(process, name);
}

describe('createWire', () => {
  afterEach(() => {
    held.binding = original;
  });

  const verified = VERIFIED_MAJORS.includes(Number.parseInt(process.versions.node, 10));

  it('takes handles where they work, without a word', { skip: !verified }, async () => {
    const lines: string[] = [];
    assert.equal((await createWire('auto', (message) => lines.push(message))).name, 'handle');
    assert.equal((await createWire('handle')).name, 'handle');
    assert.deepEqual(lines, []);
  });

  it('takes public sockets when told so, and does not look at internals', async () => {
    held.binding = () => {
      throw new Error('touched');
    };
    assert.equal((await createWire('stream')).name, 'stream');
  });

  const broken: readonly (readonly [what: string, change: Parameters<typeof withBindings>[0], reason: RegExp])[] = [
    ['a function is missing', (name, binding) => (name === 'stream_wrap' ? { ...binding, WriteWrap: undefined } : undefined), /WriteWrap is missing/],
    ['the end of a stream has another number', (name, binding) => (name === 'uv' ? { ...binding, UV_EOF: -4000 } : undefined), /bytes|closed too early|read/],
    [
      'the bindings are gone',
      () => {
        throw new Error('No such binding');
      },
      /No such binding/,
    ],
  ];
  for (const [what, change, reason] of broken) {
    it(`falls back to public sockets when ${what}, and says why; refuses when handles are asked for`, { skip: !verified }, async () => {
      withBindings(change);
      const lines: Record<string, unknown>[] = [];
      assert.equal((await createWire('auto', (_, fields) => lines.push(fields))).name, 'stream');
      assert.equal(lines.length, 1);
      assert.match(String(lines[0]?.reason), reason);
      assert.equal(lines[0]?.node, process.versions.node);
      await assert.rejects(
        createWire('handle'),
        (error: Error) => /do not work on Node .*--wire auto or stream/.test(error.message) && reason.test(error.message),
      );
    });
  }

  it('shows no deprecation warning, and leaves nothing open', () => {
    const script = `
      const { createWire } = await import(${JSON.stringify(new URL('./index.ts', import.meta.url).href)});
      await createWire('auto');
      process.on('exit', () => console.log(JSON.stringify(process.getActiveResourcesInfo())));`;
    const { stdout, stderr, status } = spawnSync(process.execPath, ['--pending-deprecation', '--input-type=module', '-e', script], { encoding: 'utf8' });
    assert.equal(stderr, '');
    assert.doesNotMatch(stdout, /TCP|TLS|Timeout/);
    assert.match(stdout, /^\[/);
    assert.equal(status, 0);
  });
});
