import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fields } from '../exchange/fields.ts';
import type { CompiledRoute } from './compiled-route.ts';
import type { ExchangeLife } from './exchange-life.ts';
import { Recovery } from './recovery.ts';
import type { RecoveryPlan } from './recovery-plan.ts';
import * as replies from './replies.ts';
import type { Try } from './try.ts';

test('a held answer whose place the fallback takes is given up, also where the fallback fails', () => {
  const cancelled: string[] = [];
  const attempt = (name: string) => ({ endpoint: {}, hold: () => ({ status: 503 }), cancel: () => cancelled.push(name) }) as unknown as Try;
  const one = attempt('one');
  const other = attempt('other');
  const fault = new Error('a header that can not be made');
  const life = {
    isBodyLost: false,
    attempts: 2,
    exchange: { method: 'GET' },
    answer: () => {
      throw fault;
    },
  } as unknown as ExchangeLife;
  const plan = { fallback: { on: [503], reply: { status: 200 } } } as unknown as RecoveryPlan;
  const recovery = new Recovery(life, plan, {} as CompiledRoute);
  recovery.running = [one, other];
  assert.equal(recovery.onBadAnswer(one, 503, new Fields(), 5, undefined, 0, 0, false), true);
  assert.throws(() => recovery.onFailure(other, 'reset', true, false, replies.internalError), fault);
  // As the exchange does that has failed.
  recovery.close();
  assert.deepEqual(cancelled, ['one']);
});
