/** The way to one server of the store, with its questions under way, their time, and whether it may be used. */
import { Script } from '../../../redis/script-connection.ts';
import { PROBE_SCRIPT } from './limit-script.ts';
import type { LimitStoreOptions, StoreQuestion } from './limit-store.ts';

/** Why a question has no answer, for log and metrics. */
export type StoreFailure = 'timeout' | 'connection' | 'refused' | 'late';

export interface LaneHost {
  readonly options: LimitStoreOptions;
  laneTurned(isUp: boolean, detail: string): void;
}

/** Questions in one call; the server does nothing else meanwhile. */
const BATCH = 64;
/** Questions that wait for answers at most: beyond, the store is as good as down. */
const MOST_WAITING = 10_000;
/** Calls in a row without an answer in time, or that are refused, from which on the store is down. */
const FAILURES = 3;
/** Beyond a question's time: from then on a call is not to be done any more (ms). */
const GRACE = 100;
/** Between probes: doubled from the first to the last, and any time from half of it on (ms). */
const FIRST_PROBE = 100;
const LAST_PROBE = 1000;
/** A probe that has no answer after this: another connection is tried (ms). */
const PROBE_PATIENCE = 2000;
/** What a server that can't count begins its refusal with. */
const HOPELESS = /^-?(READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|NOAUTH|NOPERM|NOREPLICAS|MISCONF|OOM|MOVED|ASK)\b/;

const probe = new Script(PROBE_SCRIPT);

class Call {
  readonly questions: StoreQuestion[] = [];
  /** When the first question came, on `performance.now()`. */
  readonly startedAt: number;
  isOver = false;

  constructor(startedAt: number) {
    this.startedAt = startedAt;
  }
}

/** The server's clock, and what each question asked for; or the clock alone, where the call came too late. What stands between may be no Redis. */
function isAnswerTo(call: Call, answer: unknown): answer is readonly number[] {
  if (!Array.isArray(answer) || typeof answer[0] !== 'number') return false;
  if (answer.length === 1) return true;
  let size = 1;
  for (const question of call.questions) size += question.size;
  return answer.length === size;
}

export class Lane {
  isUp = true;
  /** What stands in braces in keys of its slot. */
  tag = '';
  readonly #host: LaneHost;
  readonly #options: LimitStoreOptions;
  /** Takes questions until the end of the turn. */
  #next: Call | undefined = undefined;
  /** Sent, the oldest first; those that are over go when their turn comes. */
  readonly #underWay: Call[] = [];
  #waiting = 0;
  #timer: NodeJS.Timeout | undefined = undefined;
  #failures = 0;
  /** What to add to `performance.now()` for the server's clock, in milliseconds; NaN: not known yet. */
  #clockOffset = Number.NaN;
  #probeTimer: NodeJS.Timeout | undefined = undefined;
  #probeDelay = FIRST_PROBE;

  constructor(host: LaneHost) {
    this.#host = host;
    this.#options = host.options;
  }

  /** @returns false when it is down */
  ask(question: StoreQuestion): boolean {
    if (!this.isUp || this.#waiting >= MOST_WAITING) return false;
    let next = this.#next;
    if (next === undefined) {
      next = new Call(performance.now());
      this.#next = next;
      setImmediate(() => this.#send());
    }
    next.questions.push(question);
    this.#waiting++;
    if (next.questions.length >= BATCH) this.#send();
    return true;
  }

  #send(): void {
    const call = this.#next;
    if (call === undefined) return;
    this.#next = undefined;
    const keys: string[] = [];
    const args = [this.#lateness(call)];
    for (const question of call.questions) {
      for (const key of question.keys) keys.push(key);
      for (const arg of question.args) args.push(arg);
    }
    this.#underWay.push(call);
    if (this.#underWay.length === 1) this.#arm(call);
    const { connection, script } = this.#options;
    connection.run(script, keys, args).then(
      (answer) => this.#answered(call, answer),
      (error) => this.#refused(call, error),
    );
  }

  /** From when on, by the server's clock, nobody waits for the call: a server that was stopped does not count what it missed. */
  #lateness(call: Call): string {
    if (Number.isNaN(this.#clockOffset)) return '0';
    return String(Math.round((call.startedAt + this.#clockOffset + this.#options.timeout + GRACE) * 1000));
  }

  #answered(call: Call, answer: unknown): void {
    const now = performance.now();
    if (!isAnswerTo(call, answer)) {
      this.#refused(call, new Error('an answer that the script does not give'));
      return;
    }
    this.#clockOffset = (answer[0] as number) / 1000 - now;
    if (call.isOver) return;
    this.#options.metrics.observe((now - call.startedAt) / 1000);
    if (answer.length === 1) {
      this.#fail(call, 'late');
      return;
    }
    this.#failures = 0;
    this.#end(call);
    let from = 1;
    for (const question of call.questions) {
      this.#guard(() => question.onAnswer(answer, from));
      from += question.size;
    }
  }

  #refused(call: Call, error: unknown): void {
    if (call.isOver) return;
    const { message } = error as Error;
    const isLost =
      !this.#options.connection.isReady || /^(not connected|Connection is closed|Stream isn't writeable|Reached the max retries|None of startup)/.test(message);
    this.#fail(call, isLost ? 'connection' : 'refused');
    this.#failures++;
    if (isLost || HOPELESS.test(message) || this.#failures >= FAILURES) this.#turnDown(isLost ? 'connection' : 'refused', message);
    if (/^-?READONLY\b/.test(message)) this.#options.connection.renew(message);
  }

  #fail(call: Call, reason: StoreFailure): void {
    this.#end(call);
    this.#options.metrics.countFailure(reason, call.questions.length);
    for (const question of call.questions) this.#guard(() => question.onFailure(reason));
  }

  #end(call: Call): void {
    call.isOver = true;
    this.#waiting -= call.questions.length;
    const underWay = this.#underWay;
    let over = 0;
    while (over < underWay.length && (underWay[over] as Call).isOver) over++;
    if (over === 0) return;
    underWay.splice(0, over);
    clearTimeout(this.#timer);
    const [first] = underWay;
    if (first !== undefined) this.#arm(first);
  }

  /** A throw would end the worker, or cost the other questions of the call their answers. */
  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#options.log('error', 'a rate limit could not be decided', { error: error instanceof Error ? error.stack : String(error) });
    }
  }

  #arm(first: Call): void {
    clearTimeout(this.#timer);
    const left = first.startedAt + this.#options.timeout - performance.now();
    // What has come in while this thread was busy is read first: only then is it known who is late.
    this.#timer = setTimeout(() => setImmediate(() => this.#expire()), Math.max(0, left));
    this.#timer.unref();
  }

  #expire(): void {
    const now = performance.now();
    // To a millisecond, timers are early now and then.
    for (let call = this.#underWay[0]; call !== undefined && call.startedAt + this.#options.timeout <= now + 0.5; call = this.#underWay[0]) {
      this.#failures++;
      this.#fail(call, 'timeout');
    }
    const [first] = this.#underWay;
    if (this.#failures >= FAILURES) this.#turnDown('timeout', `no answer within ${this.#options.timeout} ms`);
    else if (first !== undefined) this.#arm(first);
  }

  /** There is no connection any more. */
  lost(): void {
    this.isUp = false;
    this.#stopWaiting('connection');
    clearTimeout(this.#probeTimer);
  }

  /** There is a connection, a new one. */
  reconnected(): void {
    if (this.isUp) return;
    this.#clockOffset = Number.NaN;
    this.#probeDelay = FIRST_PROBE;
    this.#probe();
  }

  #turnDown(reason: StoreFailure, detail: string): void {
    if (!this.isUp) return;
    this.isUp = false;
    this.#stopWaiting(reason);
    this.#host.laneTurned(false, detail);
    this.#probeDelay = FIRST_PROBE;
    this.#probeLater();
  }

  #stopWaiting(reason: StoreFailure): void {
    clearTimeout(this.#timer);
    const next = this.#next;
    this.#next = undefined;
    for (const call of [...this.#underWay, ...(next === undefined ? [] : [next])]) if (!call.isOver) this.#fail(call, reason);
  }

  #probeLater(): void {
    clearTimeout(this.#probeTimer);
    // Replicas that miss the same server do not come back all at once.
    this.#probeTimer = setTimeout(() => this.#probe(), this.#probeDelay * (0.5 + this.#options.random() / 2));
    this.#probeTimer.unref();
    this.#probeDelay = Math.min(LAST_PROBE, this.#probeDelay * 2);
  }

  /** One at a time; as long as it is under way, nothing else is. */
  #probe(): void {
    const { connection, timeout } = this.#options;
    const startedAt = performance.now();
    clearTimeout(this.#probeTimer);
    let isOver = false;
    const patience = setTimeout(() => {
      isOver = true;
      this.#probeLater();
      connection.renew(`no answer within ${PROBE_PATIENCE} ms`);
    }, PROBE_PATIENCE);
    patience.unref();
    const settle = (isGood: boolean, message: string): void => {
      clearTimeout(patience);
      if (isOver || this.isUp) return;
      isOver = true;
      if (isGood) {
        this.isUp = true;
        this.#failures = 0;
        this.#host.laneTurned(true, '');
        return;
      }
      if (!connection.isReady) return;
      this.#probeLater();
      if (/^-?READONLY\b/.test(message)) connection.renew(message);
    };
    connection.run(probe, [`tidegate:{${this.tag}}:probe`], []).then(
      () => settle(performance.now() - startedAt <= timeout, ''),
      (error: Error) => settle(false, error.message),
    );
  }
}
