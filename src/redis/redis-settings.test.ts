import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseRedisUrl, RedisUrlError } from './redis-settings.ts';

describe('--redis', () => {
  for (const [text, settings] of [
    ['redis://redis.shop.svc', { addresses: [{ host: 'redis.shop.svc', port: 6379 }], tls: false, timeout: 8 }],
    ['redis://10.0.0.1:7000/', { addresses: [{ host: '10.0.0.1', port: 7000 }], tls: false, timeout: 8 }],
    ['rediss://[::1]:7000', { addresses: [{ host: '::1', port: 7000 }], tls: true, timeout: 8 }],
    ['redis://user:p%40ss@h:1', { addresses: [{ host: 'h', port: 1 }], tls: false, username: 'user', password: 'p@ss', timeout: 8 }],
    ['redis://:a/b?c#d@e@h:1', { addresses: [{ host: 'h', port: 1 }], tls: false, password: 'a/b?c#d@e', timeout: 8 }],
    ['redis://user@h:1', { addresses: [{ host: 'h', port: 1 }], tls: false, username: 'user', timeout: 8 }],
    [
      'redis://a:1,b:2,c?master=main&timeout=50',
      {
        addresses: [
          { host: 'a', port: 1 },
          { host: 'b', port: 2 },
          { host: 'c', port: 6379 },
        ],
        tls: false,
        master: 'main',
        timeout: 50,
      },
    ],
  ] as const) {
    test(text, () => assert.deepEqual(parseRedisUrl(text), settings));
  }

  test('the password may come from a file', () => {
    assert.equal(parseRedisUrl('redis://user@h', '/etc/password').passwordFile, '/etc/password');
  });

  for (const [text, message] of [
    ['', /^expected redis/],
    ['h:1', /^expected redis/],
    ['http://h', /^expected redis/],
    ['redis://', /^address 1 is no HOST:PORT/],
    ['redis://h:1,', /^address 2 is no HOST:PORT/],
    ['redis://h:0', /^address 1 is no HOST:PORT/],
    ['redis://h:65536', /^address 1/],
    ['redis://user:secret', /^address 1 is no HOST:PORT/],
    ['redis://h/3', /^no path and no fragment/],
    ['redis://:%zz@h', /percent-encoded/],
    ['redis://h?db=1', /^"db" is no parameter/],
    ['redis://h?master=', /master is empty/],
    ['redis://h?master=a&master=b', /master is there twice/],
    ['redis://h?timeout=1s', /timeout is "1s"; write whole milliseconds/],
    ['redis://h?timeout=0', /timeout is "0"/],
  ] as const) {
    test(`refused: ${text}`, () =>
      assert.throws(
        () => parseRedisUrl(text),
        (error) => error instanceof RedisUrlError && message.test(error.message) && !error.message.includes('secret'),
      ));
  }

  test('refused: two passwords', () => {
    assert.throws(() => parseRedisUrl('redis://:secret@h', '/etc/password'), /leave one of them out$/);
  });
});
