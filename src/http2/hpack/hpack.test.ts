import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../../scripts/fast-check.ts';
import { FieldKind } from '../../exchange/field-names.ts';
import { Fields } from '../../exchange/fields.ts';
import { HpackDecoder } from './decoder.ts';
import { HpackEncoder } from './encoder.ts';
import { PSEUDO_AFTER_FIELD, REPEATED_PSEUDO } from './header-block.ts';
import { BAD_NAME, BAD_TE, BAD_VALUE, CONNECTION_SPECIFIC, UNKNOWN_PSEUDO } from './header-entry.ts';
import { decodePairs, hex, newBlock, type Pair } from './hpack.fixture.ts';
import { decodedBound, huffmanDecode, huffmanEncode, huffmanLength } from './huffman.ts';
import { encodeInteger, encodeString } from './primitives.ts';

const latin1 = (text: string) => Buffer.from(text, 'latin1');

function unhuffman(bytes: Buffer): string | undefined {
  const target = Buffer.alloc(decodedBound(bytes.length));
  const end = huffmanDecode(bytes, 0, bytes.length, target, 0);
  return end < 0 ? undefined : target.toString('latin1', 0, end);
}

const WWW: Pair = [':authority', 'www.example.com'];
const GET: readonly Pair[] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/'],
];
const FOO = 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1';

/** RFC 7541 appendix C.3 to C.6: with and without Huffman code; what each block holds, and the size of the table after it. */
const series: readonly (readonly [
  name: string,
  tableSize: number,
  steps: readonly (readonly [plain: string, coded: string, pairs: readonly Pair[], size: number])[],
])[] = [
  [
    'requests',
    4096,
    [
      ['8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d', '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff', [...GET, WWW], 57],
      ['8286 84be 5808 6e6f 2d63 6163 6865', '8286 84be 5886 a8eb 1064 9cbf', [...GET, WWW, ['cache-control', 'no-cache']], 110],
      [
        '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
        '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
        [[':method', 'GET'], [':scheme', 'https'], [':path', '/index.html'], WWW, ['custom-key', 'custom-value']],
        164,
      ],
    ],
  ],
  [
    'responses, with evictions',
    256,
    [
      [
        `4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768
         7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d`,
        '4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3',
        [
          [':status', '302'],
          ['cache-control', 'private'],
          ['date', 'Mon, 21 Oct 2013 20:13:21 GMT'],
          ['location', 'https://www.example.com'],
        ],
        222,
      ],
      [
        '4803 3330 37c1 c0bf',
        '4883 640e ffc1 c0bf',
        [
          [':status', '307'],
          ['cache-control', 'private'],
          ['date', 'Mon, 21 Oct 2013 20:13:21 GMT'],
          ['location', 'https://www.example.com'],
        ],
        222,
      ],
      [
        `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153
         444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31`,
        `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b
         3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07`,
        [
          [':status', '200'],
          ['cache-control', 'private'],
          ['date', 'Mon, 21 Oct 2013 20:13:22 GMT'],
          ['location', 'https://www.example.com'],
          ['content-encoding', 'gzip'],
          ['set-cookie', FOO],
        ],
        215,
      ],
    ],
  ],
];

describe('HPACK: RFC 7541 appendix C', () => {
  it('C.1: integers', () => {
    assert.deepEqual([encodeInteger(0, 0x1f, 10), encodeInteger(0, 0x1f, 1337), encodeInteger(0, 0xff, 42)], ['\n', '\x1f\x9a\x0a', '*']);
  });

  it('C.2: each way to write a field', () => {
    const decoder = new HpackDecoder();
    const cases: readonly (readonly [string, Pair, number])[] = [
      ['1008 7061 7373 776f 7264 0673 6563 7265 74', ['password', 'secret'], 0],
      ['040c 2f73 616d 706c 652f 7061 7468', [':path', '/sample/path'], 0],
      ['82', [':method', 'GET'], 0],
      ['400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572', ['custom-key', 'custom-header'], 55],
    ];
    for (const [block, pair, size] of cases) assert.deepEqual([decodePairs(decoder, hex(block)), decoder.tableSize], [[pair], size]);
  });

  for (const [name, tableSize, steps] of series) {
    for (const way of [0, 1] as const) {
      it(`C.${name === 'requests' ? 3 + way : 5 + way}: ${name}${way === 0 ? '' : ', with Huffman code'}`, () => {
        const decoder = new HpackDecoder(tableSize);
        for (const step of steps) {
          assert.deepEqual(decodePairs(decoder, hex(step[way])), step[2]);
          assert.equal(decoder.tableSize, step[3]);
        }
      });
    }
  }
});

describe('HPACK: Huffman code', () => {
  it('gives back what was coded, in as many bytes as foretold', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const text = Buffer.from(bytes).toString('latin1');
        const coded = huffmanEncode(text);
        assert.equal(coded.length, huffmanLength(text));
        assert.equal(unhuffman(latin1(coded)), text);
      }),
    );
    for (let code = 0; code < 256; code++) assert.equal(unhuffman(latin1(huffmanEncode(String.fromCharCode(code)))), String.fromCharCode(code));
  });

  const bad = {
    'padding of eight bits': 'ff',
    'a character and a byte of padding': '1fff',
    'a character and three bytes of padding': '1fff ffff',
    'padding with zeros': '00',
    'padding that ends within a code': '52bc 30ff ffff ff',
    EOS: 'ffff fffc',
    'EOS after a character': '1fff ffff ff',
    'EOS and more': 'ffff ffff fc',
  };
  for (const [name, text] of Object.entries(bad)) {
    it(`refuses ${name}`, () => assert.equal(unhuffman(hex(text)), undefined));
  }
});

describe('HPACK decoder', () => {
  const refused = {
    'index 0': '80',
    'an index beyond the tables': 'be',
    'the name of an index beyond the tables': '7e01 61',
    'an integer that is cut short': 'ff',
    'an integer that goes on too long': 'ff80 8080 8080 00',
    'an integer that is too large': 'ffff ffff ff0f',
    'a string that is cut short': '0003 6162',
    'a string longer than the block': '0061 617f ffff ff07',
    'a value that is missing': '0001 61',
    'a name with bad Huffman code': '0081 ff01 61',
    'a value with EOS': '0001 6184 ffff fffc',
    'a size update after a field': '8220',
    'a size update after a literal field': '0001610162 20',
    'a size update after a field that is added to the table': '4001610162 20',
    'a size beyond the setting': '3fe2 1f',
  };
  for (const [name, block] of Object.entries(refused)) {
    it(`refuses ${name}`, () => assert.equal(decodePairs(new HpackDecoder(), hex(block)), undefined));
  }

  it('takes size updates at the beginning, up to the setting', () => {
    const decoder = new HpackDecoder();
    decodePairs(decoder, hex('400161 0162'));
    assert.equal(decoder.tableSize, 34);
    assert.deepEqual(decodePairs(decoder, hex('20 3fe11f 82')), [[':method', 'GET']]);
    assert.equal(decoder.tableSize, 0);
    decodePairs(decoder, hex('400161 0162'));
    assert.deepEqual(decodePairs(decoder, hex('3fe11f be')), [['a', 'b']]);
  });

  it('empties the table for an entry that is larger than all of it', () => {
    const decoder = new HpackDecoder(64);
    decodePairs(decoder, hex('400161 0162'));
    assert.deepEqual(decodePairs(decoder, Buffer.concat([hex('400161'), latin1(encodeString('x'.repeat(40)))])), [['a', 'x'.repeat(40)]]);
    assert.equal(decoder.tableSize, 0);
  });

  const flaws: readonly (readonly [string, readonly Pair[], string])[] = [
    ['an upper-case name', [['A', 'b']], BAD_NAME],
    ['an empty name', [['', 'b']], BAD_NAME],
    ['a blank in a name', [['a b', 'b']], BAD_NAME],
    ['a colon in a name', [['a:b', 'b']], BAD_NAME],
    ['a NUL in a value', [['a', 'b\0c']], BAD_VALUE],
    ['a CR in a value', [['a', 'b\rc']], BAD_VALUE],
    ['an LF in a value', [['a', 'b\nc']], BAD_VALUE],
    ['a DEL in a value', [['a', 'b\x7fc']], BAD_VALUE],
    ['a blank before a value', [['a', ' b']], BAD_VALUE],
    ['a tab behind a value', [['a', 'b\t']], BAD_VALUE],
    ['an LF in a path', [[':path', '/\n']], BAD_VALUE],
    ['Connection', [['connection', 'close']], CONNECTION_SPECIFIC],
    ['Transfer-Encoding', [['transfer-encoding', 'chunked']], CONNECTION_SPECIFIC],
    ['Upgrade', [['upgrade', 'h2c']], CONNECTION_SPECIFIC],
    ['Keep-Alive', [['keep-alive', '5']], CONNECTION_SPECIFIC],
    ['Proxy-Connection', [['proxy-connection', 'close']], CONNECTION_SPECIFIC],
    ['TE', [['te', 'gzip']], BAD_TE],
    ['TE: trailers', [['te', 'trailers']], ''],
    ['an unknown pseudo-header field', [[':color', 'red']], UNKNOWN_PSEUDO],
    ['a pseudo-header field called as what every object has', [[':constructor', 'red']], UNKNOWN_PSEUDO],
    [
      'a pseudo-header field behind a field',
      [
        ['a', 'b'],
        [':path', '/'],
      ],
      PSEUDO_AFTER_FIELD,
    ],
    [
      'a repeated pseudo-header field',
      [
        [':path', '/'],
        [':path', '/'],
      ],
      REPEATED_PSEUDO,
    ],
    ['bytes above 127 and tabs within values', [['a', 'b\t\xe4']], ''],
  ];
  for (const [name, pairs, flaw] of flaws) {
    it(`judges ${name}, and again when it comes from the table`, () => {
      const decoder = new HpackDecoder();
      const literal = pairs.map(([field, value]) => `\x40${encodeString(field)}${encodeString(value)}`).join('');
      const fromTable = pairs.map((_, index) => String.fromCharCode(0x80 | (61 + pairs.length - index))).join('');
      const byName = pairs.map(([, value], index) => `\x0f${String.fromCharCode(61 + pairs.length - index - 15)}${encodeString(value)}`).join('');
      for (const text of [literal, fromTable, byName]) {
        const block = newBlock();
        assert.ok(decodePairs(decoder, latin1(text), block) !== undefined);
        assert.equal(block.flaw, flaw);
      }
    });
  }

  it('keeps kinds and lines as Fields need them', () => {
    const block = newBlock({ dropUnderscores: true });
    block.begin();
    const pairs: Pair[] = [
      [':authority', 'shop'],
      ['content-length', '12'],
      ['x_y', '1'],
      ['x-forwarded-proto', 'http'],
      ['x-forwarded-else', ''],
    ];
    const bytes = latin1(pairs.map(([field, value]) => `\0${encodeString(field)}${encodeString(value)}`).join(''));
    assert.ok(new HpackDecoder().decode(bytes, 0, bytes.length, block));
    const fields = block.fields();
    assert.equal(fields.serialize(), 'host: shop\r\ncontent-length: 12\r\nx-forwarded-proto: http\r\nx-forwarded-else: \r\n');
    assert.deepEqual([fields.single(FieldKind.Host), fields.single(FieldKind.ContentLength), fields.get('x-forwarded-else')], ['shop', '12', '']);
    assert.deepEqual([fields.get('x-forwarded-proto'), block.dropped, block.flaw], ['http', 1, '']);
  });

  it('stops keeping what is beyond the limits, and stays in step', () => {
    const decoder = new HpackDecoder();
    const many = newBlock({ maxFields: 3 });
    const text = ['a', 'b', 'c', 'd'].map((name) => `\x40${encodeString(name)}${encodeString('1')}`).join('');
    assert.deepEqual(decodePairs(decoder, latin1(text), many)?.length, 3);
    assert.equal(many.tooLarge, true);
    assert.deepEqual(decodePairs(decoder, hex('be c1')), [
      ['d', '1'],
      ['a', '1'],
    ]);
    // A bomb: a few bytes that stand for 16 times 1 KiB (RFC 7541 section 7.3).
    decodePairs(decoder, latin1(`\x40${encodeString('x')}${encodeString('y'.repeat(1024))}`));
    const bomb = newBlock();
    decodePairs(decoder, Buffer.alloc(10_000, 0xbe), bomb);
    assert.equal(bomb.tooLarge, true);
    assert.ok(bomb.fields().serialize().length < 16 * 1024);
  });

  it('never throws, whatever the bytes, and finds the same again', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 4 }), (blocks) => {
        const [one, other] = [new HpackDecoder(), new HpackDecoder()];
        for (const bytes of blocks) {
          const found = decodePairs(one, Buffer.from(bytes));
          // In the middle of other bytes.
          const inside = Buffer.concat([Buffer.alloc(5, 0xff), bytes, Buffer.alloc(5, 0x41)]);
          const block = newBlock();
          block.begin();
          assert.equal(other.decode(inside, 5, 5 + bytes.length, block), found !== undefined);
          if (found === undefined) return;
          assert.ok(one.tableSize <= 4096);
          assert.equal(one.tableSize, other.tableSize);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('HPACK encoder', () => {
  const name = fc.oneof(
    fc.constantFrom('accept', 'content-type', 'Date', 'X-Custom', 'set-cookie', 'Cookie', 'authorization', 'x-forwarded-for', 'X-Request-Id', 'content-length'),
    fc
      .stringMatching(/^[a-zA-Z][a-zA-Z0-9-]{0,40}$/)
      .filter((text) => !/^(te|host|connection|upgrade|keep-alive|proxy-connection|transfer-encoding)$/i.test(text)),
  );
  const value = fc.oneof(fc.constantFrom('', 'text/html', 'gzip, br', '1', '2'), fc.stringMatching(/^([!-~\u0080-\u00ff]([ -~\t]{0,30}[!-~])?)?$/));

  it('gives back what was encoded, in whatever order it comes and however large the table may be', () => {
    const message = fc.array(fc.tuple(name, value), { maxLength: 12 });
    const step = fc.oneof({ weight: 6, arbitrary: message }, { weight: 1, arbitrary: fc.nat(5000) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const encoder = new HpackEncoder();
        const decoder = new HpackDecoder();
        for (const one of steps) {
          if (typeof one === 'number') {
            encoder.setMaxTableSize(one);
            continue;
          }
          const fields = Fields.of(one);
          const decoded = decodePairs(decoder, latin1(encoder.response(200, fields)));
          assert.deepEqual(decoded, [[':status', '200'], ...one.map(([field, text]) => [field.toLowerCase(), text])]);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('makes :authority of Host, and writes what comes again as an index', () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    const fields = Fields.of([
      ['Host', 'shop'],
      ['Accept', '*/*'],
    ]);
    for (const length of [undefined, 6]) {
      const block = encoder.request('PUT', 'https', '/orders', fields);
      assert.deepEqual(decodePairs(decoder, latin1(block)), [
        [':method', 'PUT'],
        [':scheme', 'https'],
        [':path', '/orders'],
        [':authority', 'shop'],
        ['accept', '*/*'],
      ]);
      if (length !== undefined) assert.equal(block.length, 5);
    }
  });

  it('writes whole lines that were added, each by itself', () => {
    const fields = Fields.of([['a', 'b']]);
    fields.appendLines('X-One: 1\r\nx-two:2 \r\n', 1);
    assert.deepEqual(decodePairs(new HpackDecoder(), latin1(new HpackEncoder().response(404, fields))), [
      [':status', '404'],
      ['a', 'b'],
      ['x-one', '1'],
      ['x-two', '2'],
    ]);
  });

  it('never indexes secrets, in lines that came and in fields that were added', () => {
    for (const secret of ['Authorization', 'Cookie', 'Set-Cookie', 'Proxy-Authorization']) {
      const encoder = new HpackEncoder();
      const decoder = new HpackDecoder();
      const sent = new Set<number>();
      for (let times = 0; times < 3; times++) {
        const block = latin1(encoder.trailers(Fields.of([[secret, 'a=b']])));
        assert.equal((block[0] as number) & 0xf0, 0x10);
        assert.deepEqual(decodePairs(decoder, block), [[secret.toLowerCase(), 'a=b']]);
        sent.add(block.length);
      }
      assert.deepEqual([decoder.tableSize, sent.size], [0, 1]);
    }
  });

  it('stops indexing a name whose values never come again, and begins anew when they do', () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    const send = (text: string) => decodePairs(decoder, latin1(encoder.trailers(Fields.of([['X-Unique-Value', text]]))));
    for (let number = 0; number < 200; number++) send(`value ${number}`);
    const size = decoder.tableSize;
    for (let number = 200; number < 220; number++) send(`value ${number}`);
    assert.equal(decoder.tableSize, size);
    for (let number = 0; number < 64; number++) send('the same');
    assert.equal(encoder.trailers(Fields.of([['X-Unique-Value', 'the same']])).length, 1);
  });

  it('tells a smaller table at the beginning of the next block, and that it was smaller in between', () => {
    const encoder = new HpackEncoder();
    encoder.setMaxTableSize(0);
    assert.equal(Buffer.from(encoder.response(200, new Fields()), 'latin1').toString('hex'), '2088');
    encoder.setMaxTableSize(100);
    encoder.setMaxTableSize(50);
    encoder.setMaxTableSize(10_000);
    assert.equal(Buffer.from(encoder.response(200, new Fields()), 'latin1').toString('hex'), '3f133fe11f88');
    encoder.setMaxTableSize(50);
    encoder.setMaxTableSize(100);
    assert.equal(Buffer.from(encoder.response(200, new Fields()), 'latin1').toString('hex'), '3f133f4588');
  });
});
