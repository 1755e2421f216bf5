/** Events (events.k8s.io/v1; `kubectl describe` shows them) when an object turns bad and when it is good again. */
import { createHash } from 'node:crypto';
import { CONTROLLER_NAME } from '../resources/ingress-class.ts';
import { ApiError, oneLine } from '../sources/kubernetes/errors.ts';
import type { ApiCalls, StatusLog } from './api-calls.ts';
import type { Clock } from './clock.ts';
import { type Failing, failingOf } from './conditions.ts';
import type { DesiredStatus, ObjectName } from './desired-status.ts';
import type { Observed, StatusKey } from './observed-objects.ts';
import type { TokenBucket } from './token-bucket.ts';

export interface ObjectEvent {
  readonly type: 'Warning' | 'Normal';
  readonly reason: string;
  readonly note: string;
  /**
   * The same for the same turn of the same object: the Event's name comes of it, so that a second leader that tells it again
   * is told that it is there.
   */
  readonly turn: readonly unknown[];
}

/** Bytes of a note, by the API. */
const MOST_NOTE = 1024;
const GOOD_AGAIN = 'the object is good again';
/** A namespace where Events are refused is left alone for this long (ms). */
const REFUSED = 300_000;
/** As long as it takes for a leader to be followed, and then some (ms): what happened before that, the last leader told. */
const UNTOLD = 30_000;

/**
 * The turn of an object that carries conditions. They are the memory: a leader that starts anew tells nothing twice.
 * @param observed as it is before the status is written
 */
export function turnOf(desired: DesiredStatus, observed: Observed): ObjectEvent | undefined {
  const now = failingOf(desired.status?.conditions ?? []);
  const before = failingOf(observed.conditions);
  const stored = observed.conditions.find(({ type }) => type === (before?.type ?? 'Accepted'));
  const turn = [observed.uid, stored?.lastTransitionTime, stored?.status, desired.generation, now];
  if (now === undefined) return before === undefined ? undefined : goodAgain(before, turn);
  const isNews = before === undefined || before.reason !== now.reason || (stored?.observedGeneration !== desired.generation && before.message !== now.message);
  return isNews ? { type: 'Warning', reason: now.reason, note: now.message, turn } : undefined;
}

function goodAgain(before: Failing, turn: readonly unknown[]): ObjectEvent {
  return { type: 'Normal', reason: before.type, note: GOOD_AGAIN, turn };
}

interface Turn {
  readonly failing: Failing | undefined;
  readonly previous: Failing | undefined;
  readonly since: number;
  /** Which turn of the object it is, as far as this replica saw them. */
  readonly number: number;
  readonly told: boolean;
}

/**
 * What was told of objects that carry no conditions (Ingresses). Every replica follows them, so that whoever becomes the
 * leader goes on where the last one ended.
 */
export class TurnMemory {
  readonly #clock: Clock;
  readonly #turns = new Map<StatusKey, Turn>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Takes in how an object is now. */
  follow(key: StatusKey, { status }: DesiredStatus): void {
    const failing = failingOf(status?.conditions ?? []);
    const before = this.#turns.get(key);
    if (failing?.reason === before?.failing?.reason && failing?.message === before?.failing?.message) return;
    if (status === undefined) {
      this.#turns.delete(key);
      return;
    }
    const previous = before?.told === false ? before.previous : before?.failing;
    this.#turns.set(key, { failing, previous, since: this.#clock.now(), number: (before?.number ?? 0) + 1, told: false });
  }

  /** The object is gone. */
  forget(key: StatusKey): void {
    this.#turns.delete(key);
  }

  /** We lead now. */
  lead(): void {
    const late = this.#clock.now() - UNTOLD;
    for (const [key, turn] of this.#turns) if (turn.since < late) this.#turns.set(key, { ...turn, told: true });
  }

  turnOf(key: StatusKey, desired: DesiredStatus, observed: Observed): ObjectEvent | undefined {
    const turn = this.#turns.get(key);
    if (turn === undefined || turn.told) return undefined;
    const seed = [observed.uid, desired.generation, turn.number, turn.failing];
    if (turn.failing !== undefined) return { type: 'Warning', reason: turn.failing.reason, note: turn.failing.message, turn: seed };
    return turn.previous === undefined ? undefined : goodAgain(turn.previous, seed);
  }

  told(key: StatusKey): void {
    const turn = this.#turns.get(key);
    if (turn !== undefined) this.#turns.set(key, { ...turn, told: true });
  }
}

export interface EventTellerOptions {
  readonly api: ApiCalls;
  readonly bucket: TokenBucket;
  readonly clock: Clock;
  /** Of this process. */
  readonly identity: string;
  readonly log: StatusLog;
  readonly count: (result: string) => void;
}

export class EventTeller {
  readonly #options: EventTellerOptions;
  /** By namespace, when to try again. */
  readonly #refused = new Map<string, number>();

  constructor(options: EventTellerOptions) {
    this.#options = options;
  }

  /**
   * Creates the Event. Where it is refused it is lost, for a status must not wait for it.
   * @param timeout milliseconds that the call may take, asked for when it begins; 0: it may not
   * @param signals end the wait for its turn, and the call
   * @throws (rejects) what may pass: ApiError 429 and 5xx, ConnectionError
   */
  async tell(
    object: ObjectName,
    observed: Observed,
    event: ObjectEvent,
    timeout: () => number,
    signals: { readonly begin: AbortSignal; readonly abandon: AbortSignal },
  ): Promise<void> {
    const { api, bucket, clock, identity, log, count } = this.#options;
    const { kind, namespace, name } = object;
    if ((this.#refused.get(namespace) ?? 0) > clock.now()) return;
    await bucket.take(signals.begin);
    const milliseconds = timeout();
    if (milliseconds <= 0) return;
    const digest = createHash('sha256').update(JSON.stringify(event.turn)).digest('hex').slice(0, 16);
    const body = {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name: `${name.slice(0, 200).replace(/[^a-z0-9]+$/, '')}.${digest}`, namespace },
      eventTime: new Date(clock.wall()).toISOString().replace('Z', '000Z'),
      type: event.type,
      reason: event.reason,
      note: withinBytes(event.note, MOST_NOTE),
      action: 'Translate',
      regarding: { apiVersion: kind.apiVersion, kind: kind.kind, namespace, name, uid: observed.uid, resourceVersion: observed.resourceVersion },
      reportingController: CONTROLLER_NAME,
      reportingInstance: identity.slice(0, 128),
    };
    try {
      await api.request({
        method: 'POST',
        path: `/apis/events.k8s.io/v1/namespaces/${namespace}/events`,
        body,
        timeout: milliseconds,
        signal: signals.abandon,
      });
      count('written');
      this.#refused.delete(namespace);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status === 429 || error.status >= 500) throw error;
      if (error.status === 409) return count('present');
      count(error.status === 403 ? 'forbidden' : 'refused');
      // In a namespace that is being deleted nothing can be created.
      if (error.status === 404 || error.message.includes('being terminated')) return;
      if (!this.#refused.has(namespace)) log('warn', 'Events are refused', { namespace, reason: error.reason, error: oneLine(error) });
      this.#refused.set(namespace, clock.now() + REFUSED);
    }
  }
}

function withinBytes(text: string, most: number): string {
  if (Buffer.byteLength(text) <= most) return text;
  // A character that is cut in two is left out.
  return `${new TextDecoder().decode(Buffer.from(text).subarray(0, most - 6)).replace(/\uFFFD+$/, '')}...`;
}
