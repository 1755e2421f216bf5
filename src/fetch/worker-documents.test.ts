import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { type DocumentState, sharedNow } from './document-state.ts';
import { WorkerDocuments } from './worker-documents.ts';

const state = (more: Partial<DocumentState> = {}): DocumentState => ({
  key: 'k',
  text: '{}',
  revision: 1,
  fetchedAt: 0,
  failure: undefined,
  refetchFrom: Number.NEGATIVE_INFINITY,
  ...more,
});

test('who comes first waits for the first try', async () => {
  const documents = new WorkerDocuments(() => assert.fail('asked'));
  const waiting = [documents.first('k'), documents.first('k')];
  documents.publish(state());
  assert.deepEqual(await Promise.all(waiting), [state(), state()]);
  assert.deepEqual(await documents.first('k'), state());
});

test('one question for all who miss something, and none before its time', async () => {
  const asked: string[] = [];
  const documents = new WorkerDocuments((key) => asked.push(key));
  documents.publish(state());
  const waiting = [documents.refetch('k'), documents.refetch('k')];
  assert.deepEqual(asked, ['k']);
  const next = state({ revision: 2, refetchFrom: sharedNow() + 30_000 });
  documents.publish(next);
  assert.deepEqual(await Promise.all(waiting), [next, next]);
  assert.deepEqual(await documents.refetch('k'), next);
  assert.deepEqual(asked, ['k']);
  documents.publish(state({ refetchFrom: sharedNow() - 1 }));
  void documents.refetch('k');
  assert.deepEqual(asked, ['k', 'k']);
  documents.publish(state());
});

test('nobody waits for ever', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.after(() => mock.timers.reset());
  const documents = new WorkerDocuments(() => {});
  const waiting = documents.first('k');
  mock.timers.tick(6000);
  assert.equal(await waiting, undefined);
});

test('what the pod has forgotten is gone, until it is published anew', async () => {
  const documents = new WorkerDocuments(() => {});
  documents.publish(state());
  const waiting = documents.refetch('k');
  documents.forget('k');
  assert.equal(await waiting, undefined);
  assert.equal(documents.get('k'), undefined);
  documents.forget('never had');
  const next = documents.first('k');
  documents.publish(state({ revision: 2 }));
  assert.equal((await next)?.revision, 2);
});
