import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Deadlines } from '../exchange/deadlines.ts';
import { NO_BODY, type UpstreamHandler, type UpstreamRequest, type UpstreamStream } from '../exchange/streams.ts';
import { exchangeOf } from '../policies/exchange.fixture.ts';
import { CIRCUIT_BREAKER } from '../snapshot/defaults.ts';
import { UpstreamMetrics } from '../telemetry/upstream-metrics.ts';
import { WorkerMetrics } from '../telemetry/worker-metrics.ts';
import { BreakerMemory, Permit } from '../upstream/breaker/breaker-memory.ts';
import { CircuitBreaker } from '../upstream/breaker/circuit-breaker.ts';
import type { UpstreamState } from '../upstream/upstream-state.ts';
import { KeptBody, MAX_KEPT_BODY } from './kept-body.ts';
import { MAX_MIRRORS, Mirrors } from './mirrors.ts';

/** An upstream whose endpoint takes every request and answers when the test does. */
class Shadow {
  readonly requests: UpstreamRequest[] = [];
  readonly bodies: string[] = [];
  handler: UpstreamHandler | undefined = undefined;
  cancelled = 0;
  running = 0;
  breaker: CircuitBreaker | undefined = undefined;
  readonly metrics = new UpstreamMetrics('shadow');

  get state(): UpstreamState {
    const stream: UpstreamStream = {
      connected: true,
      writeBody: (bytes, start, end) => this.bodies.push(bytes.toString('latin1', start, end)) > 0,
      endBody: () => {},
      pauseResponse: () => {},
      resumeResponse: () => {},
      cancel: () => {
        this.cancelled++;
      },
    };
    const request = (sent: UpstreamRequest, handler: UpstreamHandler): UpstreamStream => {
      this.requests.push(sent);
      this.handler = handler;
      return stream;
    };
    const endpoint = { pool: { request }, started: () => this.running++, finished: () => this.running-- };
    return { pick: () => endpoint, metrics: this.metrics, breaker: this.breaker } as unknown as UpstreamState;
  }
}

function mirrors(): { readonly all: Mirrors; readonly deadlines: Deadlines; count(name: string): number } {
  const deadlines = new Deadlines();
  deadlines.close();
  const metrics = new WorkerMetrics();
  const count = (name: string): number => metrics.families([], {}).find((family) => family.name === name)?.values[0]?.value ?? Number.NaN;
  return { all: new Mirrors(deadlines, metrics), deadlines, count };
}

test('there are so many copies and no more; what is over makes room', () => {
  const { all, count } = mirrors();
  const shadow = new Shadow();
  const begun = Array.from({ length: MAX_MIRRORS }, () => all.begin(shadow.state, exchangeOf()));
  assert.equal(all.begin(shadow.state, exchangeOf()), undefined);
  assert.equal(count('tidegate_mirror_dropped_total'), 1);
  begun[0]?.abandon();
  begun[0]?.abandon();
  assert.equal(all.underWay, MAX_MIRRORS - 1);
  begun[1]?.send(undefined);
  begun[1]?.abandon();
  assert.deepEqual([all.underWay, shadow.running], [MAX_MIRRORS - 1, 1]);
  shadow.handler?.onUpstreamFailure('reset', true, false, undefined);
  assert.deepEqual([all.underWay, shadow.running, count('tidegate_mirror_requests_total')], [MAX_MIRRORS - 2, 0, 1]);
});

test('a body goes along whole, with its length; one that is too long is not sent', () => {
  const { all } = mirrors();
  const shadow = new Shadow();
  const body = new KeptBody();
  const copy = all.begin(shadow.state, exchangeOf({ method: 'POST', body: -1 }));
  body.append(Buffer.from('ab'), 0, 2);
  body.append(Buffer.from('xcx'), 1, 2);
  copy?.send(body);
  assert.deepEqual([shadow.requests[0]?.body, shadow.bodies.join('')], [3, 'abc']);
  const long = new KeptBody();
  const other = all.begin(shadow.state, exchangeOf({ method: 'POST', body: -1 }));
  long.append(Buffer.alloc(MAX_KEPT_BODY + 1), 0, MAX_KEPT_BODY + 1);
  other?.send(long);
  assert.deepEqual([long.lost, shadow.requests.length, all.underWay], [true, 1, 1]);
  assert.equal(all.begin(shadow.state, exchangeOf({ method: 'POST', body: MAX_KEPT_BODY + 1 })), undefined);
});

test('a mirror that is slow, or says too much, is cut off', () => {
  const { all, deadlines } = mirrors();
  const shadow = new Shadow();
  all.begin(shadow.state, exchangeOf())?.send(undefined);
  assert.equal(shadow.requests[0]?.body, NO_BODY);
  deadlines.sweep(performance.now() + 9_000);
  assert.equal(shadow.cancelled, 0);
  deadlines.sweep(performance.now() + 10_001);
  assert.deepEqual([shadow.cancelled, all.underWay, deadlines.size], [1, 0, 0]);
  all.begin(shadow.state, exchangeOf())?.send(undefined);
  const chunk = Buffer.alloc(40_000);
  shadow.handler?.onResponse(200, exchangeOf().requestFields, -1, chunk, 0, chunk.length, false, false);
  assert.equal(shadow.cancelled, 1);
  shadow.handler?.onResponseData(chunk, 0, chunk.length, false);
  assert.deepEqual([shadow.cancelled, all.underWay], [2, 0]);
});

test("the mirror's own circuit breaker holds for copies: what it refuses is dropped, and what fails counts", () => {
  const { all, count } = mirrors();
  const shadow = new Shadow();
  const memory = new BreakerMemory(BreakerMemory.allocate(1, 1), 1, 0);
  shadow.breaker = new CircuitBreaker({ ...CIRCUIT_BREAKER, maxRequests: 1, minRequests: 2, failurePercent: 50 }, memory, 0, 0);
  const send = (): void => all.begin(shadow.state, exchangeOf())?.send(undefined);
  send();
  send();
  assert.deepEqual([shadow.requests.length, count('tidegate_mirror_dropped_total'), all.underWay], [1, 1, 1]);
  assert.deepEqual([...shadow.metrics.refusals], [['circuit_max_requests', 1]]);
  shadow.handler?.onResponse(500, exchangeOf().requestFields, 0, undefined, 0, 0, false, true);
  assert.equal(memory.held(0, Permit.Request), 0);
  send();
  shadow.handler?.onUpstreamFailure('reset', true, false, undefined);
  send();
  assert.deepEqual([shadow.requests.length, memory.held(0, Permit.Request), all.underWay], [2, 0, 0]);
  assert.equal(shadow.metrics.refusals.get('circuit_open'), 1);
});
