import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../scripts/fast-check.ts';
import { Fields } from '../exchange/fields.ts';
import { GRPC_STATUSES } from '../snapshot/grpc-status.ts';
import type { Retry } from '../snapshot/recovery.ts';
import { RetryRules } from './retry.ts';

function rules(retry: Partial<Retry>): RetryRules {
  return new RetryRules({ attempts: 1, on: [], backoff: 25, maxBackoff: 250, budgetPercent: 20, nonIdempotent: false, ...retry });
}

test('full jitter: a wait is anything from nothing to a bound that doubles up to its maximum', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 1000 }),
      fc.integer({ min: 0, max: 5000 }),
      fc.nat(40),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (backoff, maxBackoff, before, chance) => {
        const wait = rules({ backoff, maxBackoff }).backoff(before, () => chance);
        assert.ok(wait >= 0 && wait <= maxBackoff && wait <= backoff * 2 ** before);
      },
    ),
  );
  const highest = [0, 1, 2, 3, 4, 5].map((before) => rules({}).backoff(before, () => 1));
  assert.deepEqual(highest, [25, 50, 100, 200, 250, 250]);
});

test('502 and 504 stand for the failures that the gateway answers so', () => {
  const named = (on: Retry['on']): string[] =>
    (['connect-failure', 'reset', 'malformed', 'timeout'] as const).filter((failure) => rules({ on }).names(failure));
  assert.deepEqual(named([503]), []);
  assert.deepEqual(named([502]), ['connect-failure', 'reset', 'malformed']);
  assert.deepEqual(named([504]), ['timeout']);
  assert.deepEqual(named(['reset', 'timeout']), ['reset', 'timeout']);
});

test('statuses are those that are named', () => {
  const { length } = Array.from({ length: 600 }, (_, status) => status).filter((status) => rules({ on: [429, 503] }).namesStatus(status));
  assert.equal(length, 2);
});

test('gRPC statuses go by their names, and only those of an answer without a body are known', () => {
  const statusOf = (value: string, on: Retry['on']) => rules({ on }).grpcStatusOf(Fields.of([['grpc-status', value]]));
  for (const [index, name] of GRPC_STATUSES.entries()) {
    assert.equal(statusOf(String(index + 1), [name]), name);
    assert.equal(
      statusOf(
        String(index + 1),
        GRPC_STATUSES.filter((other) => other !== name),
      ),
      undefined,
    );
  }
  for (const value of ['0', '17', '014', '', '1e1', '-1', 'unavailable']) assert.equal(statusOf(value, [...GRPC_STATUSES]), undefined);
  assert.equal(rules({ on: ['unavailable'] }).grpcStatusOf(new Fields()), undefined);
  assert.equal(rules({ on: [503] }).namesGrpc, false);
});
