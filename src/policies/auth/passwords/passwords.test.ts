import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PasswordResult, Passwords } from './passwords.ts';

/** Of "secret". */
const HASH = '{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=';

test("a flood at one policy is bounded, and holds up no other policy's checks", async () => {
  const passwords = new Passwords((message) => assert.fail(message));
  const order: string[] = [];
  const flooded = Array.from(
    { length: 64 },
    (_, index) =>
      new Promise<PasswordResult>((resolve) => {
        const tell = (result: PasswordResult): void => {
          order.push('flooded');
          resolve(result);
        };
        assert.equal(passwords.check('default/flooded', HASH, `wrong ${index}`, tell), undefined);
      }),
  );
  const never = () => assert.fail('told though it was refused');
  assert.equal(passwords.check('default/flooded', HASH, 'one more', never), 'busy');
  const other = new Promise<PasswordResult>((resolve) => {
    const tell = (result: PasswordResult): void => {
      order.push('other');
      resolve(result);
    };
    assert.equal(passwords.check('default/other', HASH, 'secret', tell), undefined);
  });
  assert.equal(await other, 'right');
  assert.ok(order.indexOf('other') <= 4, `after ${order.indexOf('other')} of the flood`);
  assert.deepEqual([...new Set(await Promise.all(flooded))], ['wrong']);
  assert.equal(order.length, 65);
  // What they had is free again, and what was found out is known to all.
  assert.equal(passwords.check('default/flooded', HASH, 'secret', never), 'right');
  const again = await new Promise<PasswordResult>((resolve) => {
    assert.equal(passwords.check('default/flooded', HASH, 'one more', resolve), undefined);
  });
  assert.equal(again, 'wrong');
});
