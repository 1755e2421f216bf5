import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { ROTATION_INTERVAL, TicketKeyRing } from './ticket-keys.ts';

describe('ticket key ring', () => {
  it('publishes a new set at each interval, until it is closed', () => {
    mock.timers.enable({ apis: ['setInterval'] });
    try {
      const published: Buffer[] = [];
      const ring = new TicketKeyRing((keys) => published.push(keys));
      const first = ring.current;
      assert.equal(first.length, 48);
      assert.deepEqual(published, []);
      mock.timers.tick(ROTATION_INTERVAL);
      assert.deepEqual(published, [ring.current]);
      assert.notDeepEqual(ring.current, first);
      mock.timers.tick(ROTATION_INTERVAL);
      assert.equal(new Set([first, ...published].map((keys) => keys.toString('hex'))).size, 3);
      ring.close();
      mock.timers.tick(10 * ROTATION_INTERVAL);
      assert.equal(published.length, 2);
    } finally {
      mock.timers.reset();
    }
  });
});
