import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { FieldKind, HOP_BY_HOP, isToken, kindOfBytes, kindOfName, maskOf } from './field-names.ts';
import { Fields, otherNames, packLine } from './fields.ts';

/** Field lines as an engine would hand them over, with text of a start line before and a blank line after them. */
function fromLines(pairs: readonly (readonly [string, string])[], start = 'GET / HTTP/1.1\r\n'): Fields {
  let text = start;
  let mask = 0;
  const lines: number[] = [];
  for (const [name, value] of pairs) {
    const kind = kindOfBytes(Buffer.from(name, 'latin1'), 0, name.length);
    mask |= 1 << kind;
    lines.push(packLine(text.length, name.length, kind));
    text += `${name}:${value}\r\n`;
  }
  return new Fields(`${text}\r\nbody`, lines, text.length, mask);
}

function pairsOf(fields: Fields): [string, string][] {
  const pairs: [string, string][] = [];
  fields.forEach((name, value) => {
    pairs.push([name, value]);
  });
  return pairs;
}

const NAMES = [
  'Host',
  'host',
  'HOST',
  'X-Forwarded-For',
  'x-forwarded-proto',
  'X-Forwarded-Foo',
  'x-forwarded-bar',
  'Client-Cert',
  'client-cert-chain',
  'ssl-client-verify',
  'Proxy',
  'SSL-Client-DN',
  'Cookie',
  'Connection',
  'TE',
  'te',
  'x-a',
  'X-A',
  'x-b',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'a',
  'A',
  "!#$%&'*+-.^_`|~",
  'x@',
  `x-${'long'.repeat(70)}`,
  `X-${'LONG'.repeat(70)}`,
  `x-${'lonh'.repeat(70)}`,
].filter(isToken);

describe('Fields', () => {
  it('is empty to begin with', () => {
    const fields = new Fields();
    assert.equal(fields.serialize(), '');
    assert.equal(fields.get('host'), undefined);
    assert.deepEqual(fields.getAll('x-a'), []);
    assert.equal(fields.has('__proto__'), false);
    assert.deepEqual(pairsOf(fields), []);
  });

  it('shares nothing between empty ones', () => {
    const one = new Fields();
    one.append('X-A', '1');
    one.remove('x-a');
    one.set('X-B', '2');
    assert.deepEqual(pairsOf(new Fields()), []);
  });

  it('reads lines without their white space, and writes them as they came', () => {
    const fields = fromLines([
      ['Host', ' example.com'],
      ['X-Empty', ''],
      ['X-Blank', ' \t '],
      ['x-tabs', '\t\tvalue with  inner\tspace \t'],
    ]);
    assert.equal(fields.get('host'), 'example.com');
    assert.equal(fields.get('x-empty'), '');
    assert.equal(fields.get('x-blank'), '');
    assert.equal(fields.get('x-tabs'), 'value with  inner\tspace');
    assert.equal(fields.serialize(), 'Host: example.com\r\nX-Empty:\r\nX-Blank: \t \r\nx-tabs:\t\tvalue with  inner\tspace \t\r\n');
  });

  it('copies what is between removed lines', () => {
    const fields = fromLines([
      ['A', ' 1'],
      ['B', ' 2'],
      ['C', ' 3'],
      ['B', ' 4'],
      ['D', ' 5'],
    ]);
    fields.remove('b');
    assert.equal(fields.serialize(), 'A: 1\r\nC: 3\r\nD: 5\r\n');
    fields.remove('a');
    fields.remove('d');
    assert.equal(fields.serialize(), 'C: 3\r\n');
    fields.remove('c');
    assert.equal(fields.serialize(), '');
    assert.deepEqual(pairsOf(fields), []);
  });

  it('removes several names without a kind', () => {
    const fields = fromLines([
      ['X-A', '1'],
      ['Host', 'a'],
      ['x-b', '2'],
      ['x-a', '3'],
      ['X-C', '4'],
    ]);
    fields.append('X-B', '5');
    fields.appendLines('X-D: 6\r\nx-a: 7\r\n', maskOf(FieldKind.Other));
    fields.removeOthers(otherNames(['x-a', 'x-b', 'x-e']));
    assert.deepEqual(pairsOf(fields), [
      ['Host', 'a'],
      ['X-C', '4'],
      ['X-D', '6'],
    ]);
  });

  it('removes by kind, families included', () => {
    const fields = fromLines([
      ['Connection', ' x'],
      ['X-Forwarded-For', ' 1'],
      ['X-Forwarded-Whatever', ' 2'],
      ['X-Other', ' 3'],
    ]);
    fields.append('keep-alive', 'timeout=1');
    fields.append('X-Forwarded-Again', '4');
    assert.equal(fields.mayHave(HOP_BY_HOP), true);
    fields.removeKinds(HOP_BY_HOP);
    assert.equal(fields.mayHave(HOP_BY_HOP), false);
    fields.removeKinds(maskOf(FieldKind.XForwardedOther));
    assert.deepEqual(pairsOf(fields), [
      ['X-Forwarded-For', '1'],
      ['X-Other', '3'],
    ]);
  });

  it('finds, replaces and removes what came in whole lines', () => {
    const fields = new Fields();
    fields.append('X-First', '0');
    fields.appendLines('X-Forwarded-For: 10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\n', maskOf(FieldKind.XForwardedFor, FieldKind.XRealIp));
    assert.equal(fields.serialize(), 'X-First: 0\r\nX-Forwarded-For: 10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\n');
    assert.equal(fields.get('x-real-ip'), '10.0.0.1');
    fields.set('X-Real-IP', '10.0.0.2');
    fields.remove('x-forwarded-for');
    assert.equal(fields.serialize(), 'X-First: 0\r\nX-Real-IP: 10.0.0.2\r\n');
  });

  it('finds what stands once', () => {
    const fields = fromLines([
      ['Host', ' \ta:80 '],
      ['Cookie', ' a'],
      ['cookie', ' a'],
      ['Date', ''],
    ]);
    for (const look of [() => {}, () => fields.append('X-A', '1')]) {
      look();
      assert.equal(fields.single(FieldKind.Host), 'a:80');
      assert.equal(fields.single(FieldKind.Cookie), undefined);
      assert.equal(fields.single(FieldKind.Expect), undefined);
      assert.equal(fields.singleIs(FieldKind.Host, 'a:80'), true);
      for (const other of ['a:8', 'a:800', 'A:80', 'b:80', '']) assert.equal(fields.singleIs(FieldKind.Host, other), false);
      assert.equal(fields.singleIs(FieldKind.Cookie, 'a'), false);
      assert.equal(fields.singleIs(FieldKind.Expect, ''), false);
      assert.equal(fields.singleIs(FieldKind.Date, ''), true);
      assert.deepEqual(fields.valuesOf(FieldKind.Cookie), ['a', 'a']);
    }
    fields.append('Date', 'x');
    assert.equal(fields.single(FieldKind.Date), undefined);
  });

  it('keeps a clone apart', () => {
    const fields = fromLines([['A', ' 1']]);
    fields.append('B', '2');
    const copy = fields.clone();
    copy.remove('a');
    copy.set('B', '3');
    assert.equal(fields.serialize(), 'A: 1\r\nB: 2\r\n');
    assert.equal(copy.serialize(), 'B: 3\r\n');
    const before = fields.clone();
    fields.removeKinds(1 << FieldKind.Other);
    assert.equal(fields.serialize(), '');
    assert.equal(before.serialize(), 'A: 1\r\nB: 2\r\n');
  });

  it('refuses what would split a message', () => {
    const fields = new Fields();
    for (const value of ['a\r\nb', 'a\nb', 'a\rb', 'a\0', 'a\x7f', 'a\x01', 'Ċ', '\u{1f600}']) {
      assert.throws(() => fields.append('X-A', value), /field X-A: its value holds character/);
      assert.throws(() => fields.set('X-A', value), TypeError);
    }
    for (const name of ['', 'a b', 'a:', 'a\r\n', 'ä', 'x-forwarded-\n', 'ssl-client-\r', 'Ċ'])
      assert.throws(() => fields.append(name, 'v'), /must be a token/);
    fields.append('X-A', 'tab\tand \xff');
    assert.deepEqual(pairsOf(fields), [['X-A', 'tab\tand \xff']]);
  });

  it('does as a plain list does', () => {
    const name = fc.constantFrom(...NAMES);
    const value = fc.stringMatching(/^[!-~\x80-\xff]{0,5}$/);
    const pair = fc.tuple(name, value);
    const step = fc.oneof(
      fc.record({ op: fc.constant('set'), name, value }),
      fc.record({ op: fc.constant('append'), name, value }),
      fc.record({ op: fc.constant('lines'), name, value }),
      fc.record({ op: fc.constant('remove'), name, value }),
      fc.record({ op: fc.constant('kinds'), name, value }),
      // To go on with the copy, or with the original.
      fc.record({ op: fc.constant('copy'), name, value }),
      fc.record({ op: fc.constant('original'), name, value }),
    );
    fc.assert(
      fc.property(fc.array(pair, { maxLength: 8 }), fc.array(step, { maxLength: 12 }), fc.boolean(), (pairs, steps, look) => {
        let fields = fromLines(pairs);
        let model = pairs.map(([n, v]): [string, string] => [n, v]);
        const all: [Fields, [string, string][]][] = [];
        const same = (other: string) => (item: [string, string]) => item[0].toLowerCase() === other.toLowerCase();
        for (const { op, name, value } of steps) {
          if (op === 'set') {
            fields.set(name, value);
            model = [...model.filter((item) => !same(name)(item)), [name, value]];
          } else if (op === 'append') {
            fields.append(name, value);
            model.push([name, value]);
          } else if (op === 'lines') {
            fields.appendLines(`${name}: ${value}\r\nX-Line: 1\r\n`, 1 << kindOfName(name));
            model.push([name, value], ['X-Line', '1']);
          } else if (op === 'remove') {
            fields.remove(name.toLowerCase());
            model = model.filter((item) => !same(name)(item));
          } else if (op === 'copy' || op === 'original') {
            const copy = fields.clone();
            all.push([op === 'copy' ? fields : copy, model.slice()]);
            if (op === 'copy') fields = copy;
          } else {
            const mask = 1 << kindOfName(name);
            if (kindOfName(name) === FieldKind.Other) continue;
            fields.removeKinds(mask);
            model = model.filter((item) => ((1 << kindOfName(item[0])) & mask) === 0);
          }
          if (look) {
            assert.equal(fields.get(name.toLowerCase()), model.find(same(name))?.[1]);
            assert.equal(fields.has(name.toLowerCase()), model.some(same(name)));
          }
        }
        all.push([fields, model]);
        for (const [one, pairs] of all) {
          const expected = pairs.map(([n, v]) => `${n}:${v}\r\n`).join('');
          assert.equal(one.serialize().replaceAll(': ', ':'), expected);
          assert.deepEqual(pairsOf(one), pairs);
          for (const other of NAMES) {
            assert.deepEqual(
              one.getAll(other.toLowerCase()),
              pairs.filter(same(other)).map((item) => item[1]),
            );
          }
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('kindOfBytes', () => {
  it('agrees with kindOfName on every spelling', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.constantFrom(...NAMES, 'content-length', 'transfer-encoding', 'x-real-ip', 'expect', 'upgrade', 'x-forwarded-', 'xxforwarded-for', 'hos\x14'),
          fc.stringMatching(/^[!-~]{1,20}$/),
        ),
        fc.integer({ min: 0, max: 0x7fffffff }),
        (text, flips) => {
          if (!isToken(text)) return;
          let name = '';
          for (let index = 0; index < text.length; index++) name += ((flips >> (index % 31)) & 1) === 1 ? (text[index] as string).toUpperCase() : text[index];
          assert.equal(kindOfBytes(Buffer.from(`..${name}`, 'latin1'), 2, name.length), kindOfName(name), name);
          assert.equal(kindOfName(name), kindOfName(text));
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('knows names by any spelling and nothing that only looks alike', () => {
    assert.equal(kindOfName('hOST'), FieldKind.Host);
    assert.equal(kindOfName('X-FORWARDED-FOR'), FieldKind.XForwardedFor);
    assert.equal(kindOfName('X-FORWARDED-FOr2'), FieldKind.XForwardedOther);
    assert.equal(kindOfName('Client-Certificate'), FieldKind.Other);
    assert.equal(kindOfName('Client-Cert-Chain'), FieldKind.ClientCert);
    assert.equal(kindOfName('x_forwarded_for'), FieldKind.Other);
    assert.equal(kindOfBytes(Buffer.from('\x48ost'), 0, 4), FieldKind.Host);
    assert.equal(kindOfBytes(Buffer.from('content\x0dlength', 'latin1'), 0, 14) === FieldKind.ContentLength, true, 'names are checked to be tokens before');
  });
});
