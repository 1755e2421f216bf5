import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff, classOf, type FailureClass } from './backoff.ts';
import { ApiError } from './errors.ts';

/** The longest waits that there may be, one after the other. */
function waits(failure: FailureClass, count: number): number[] {
  const backoff = new Backoff(() => 1);
  return Array.from({ length: count }, () => backoff.next(failure));
}

test('waits grow up to a bound, and begin anew with another kind of failure', () => {
  assert.deepEqual(waits('connection', 5), [250, 500, 1000, 2000, 2000]);
  assert.deepEqual(waits('absent', 6), [500, 1000, 2000, 4000, 8000, 10_000]);
  const backoff = new Backoff(() => 1);
  assert.deepEqual([backoff.next('connection'), backoff.next('connection'), backoff.next('server')], [250, 500, 500]);
});

test('what a server asks for is waited for at least', () => {
  const backoff = new Backoff(() => 0);
  assert.equal(backoff.next('server', 3000), 3000);
});

test('a collection that was there is asked for again within a second, so that all is up to date soon after the return of a server', () => {
  assert.ok(waits('vanished', 20).every((wait) => wait <= 1000));
});

test('a server that is starting is asked again sooner than it says, and less and less often', () => {
  const failure = classOf(new ApiError(503, 'ServiceUnavailable', 'before all known HTTP paths have been installed', 5000));
  const backoff = new Backoff(() => 1);
  assert.deepEqual(
    Array.from({ length: 7 }, () => backoff.next(failure, 5000)),
    [250, 500, 1000, 2000, 4000, 8000, 10_000],
  );
});
