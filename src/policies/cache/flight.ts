import type { Exchange, FetchStream, Reply, RunningFetch } from '../../exchange/exchange.ts';
import type { Fields } from '../../exchange/fields.ts';
import { type BodyLength, NO_BODY } from '../../exchange/streams.ts';
import type { CacheSpec } from '../../snapshot/cache.ts';
import { servesOnError, TROUBLE, Use, useOf } from './asking.ts';
import type { RequestKey } from './cache-key.ts';
import type { StoredEntry } from './entry-blocks.ts';
import { FlightBody } from './flight-body.ts';
import { Keeping, type Verdict } from './keeping.ts';
import type { CacheNews, CacheResults, ResponseCache } from './response-cache.ts';
import { fieldsOfHead, type GivenHead, giveWhole, hasNoBody, isUnmet, setAge, validatingFields } from './stored-answer.ts';
import type { Returns, Validated, Waiter } from './waiter.ts';

/** How long other workers wait for the rest of a body, in milliseconds; then each asks for it once, so that its clients see it come. */
const SLOW_BODY = 250;

/**
 * One request to a backend, for all who want the same at the same time: the one whose request it is, those who came meanwhile, or
 * nobody, where it is to bring what is stored up to date. As soon as its head shows that the answer is good for all, all get it,
 * and its body as it comes; otherwise the one whose it is has it, if it is still there, and nobody else: the others go to the
 * backend by themselves at once.
 */
export class Flight implements FetchStream {
  readonly requestBody = NO_BODY;
  readonly requestEnded = true;
  responded = false;
  readonly #cache: ResponseCache;
  readonly #key: RequestKey;
  /** What it is found by among the flights, and stored by where the answer does not vary. */
  readonly #storedKey: string;
  readonly #request: Fields;
  readonly #validated: Validated | undefined;
  readonly #returns: Returns;
  readonly #keeping: Keeping;
  #fetch: RunningFetch | undefined = undefined;
  /** Whose request it is; undefined: nobody's who waits for it. It may have left. */
  #owner: Waiter | undefined = undefined;
  #waiters: Waiter[] = [];
  #verdict: Verdict | undefined = undefined;
  #over = false;
  /** Other workers wait for it, as far as they ask for the same. */
  #claimed = false;
  readonly #body: FlightBody;
  #status = 0;
  #length: BodyLength = NO_BODY;

  /** @param request fields of the one who came first, as it sent them */
  constructor(cache: ResponseCache, spec: CacheSpec, key: RequestKey, storedKey: string, request: Fields, validated: Validated | undefined, returns: Returns) {
    this.#cache = cache;
    this.#key = key;
    this.#storedKey = storedKey;
    this.#request = request;
    this.#validated = validated;
    this.#returns = returns;
    this.#keeping = new Keeping(cache, spec, key, request);
    this.#body = new FlightBody(
      () => this.#fetch?.resume(),
      () => this.#unread(),
    );
  }

  /**
   * Sends it, for `exchange`.
   * @param owner that exchange, where it waits for what comes
   * @param shared others may find it by its key @param keepsConditions the client's own go along @param claimed so may other workers
   */
  begin(exchange: Exchange, owner: Waiter | undefined, shared: boolean, keepsConditions: boolean, claimed: boolean): void {
    this.#claimed = claimed;
    this.#owner = owner;
    if (owner !== undefined) this.join(owner);
    if (shared) this.#cache.flights.set(this.#storedKey, this);
    this.#fetch = exchange.runner?.fetch(validatingFields(this.#request, keepsConditions, this.#validated?.entry), this);
  }

  /** Takes a request on that has come meanwhile; not from within its filter's step. */
  joinLate(waiter: Waiter): void {
    try {
      if (!this.isOpen) this.#returns.again(waiter);
      else if (this.#verdict === undefined) this.join(waiter);
      else this.#give(waiter, false);
    } catch (error) {
      waiter.exchange.fail(error);
    }
  }

  /** Takes a request on, as long as there is no head. */
  join(waiter: Waiter): void {
    this.#waiters.push(waiter);
    waiter.exchange.onAbandoned = () => {
      this.#waiters = this.#waiters.filter((other) => other !== waiter);
      this.#unread();
    };
  }

  /** Whether a request that comes now may wait for it, or have it. */
  get isOpen(): boolean {
    return !this.#over && (this.#verdict === undefined || this.#body.isKept);
  }

  get #isWanted(): boolean {
    const isStoring = this.#verdict !== undefined && this.#body.isKept;
    return isStoring || this.#waiters.length > 0 || this.#body.hasReaders;
  }

  /** Perhaps nobody waits for it any more. What is on its way into memory goes on. */
  #unread(): void {
    if (this.#over || this.#isWanted) return;
    // Not from within a call of the fetch's own.
    queueMicrotask(() => {
      if (!this.#over && !this.#isWanted) this.#abandon();
    });
  }

  #abandon(): void {
    this.#over = true;
    this.#close();
    this.#fetch?.abort();
  }

  /** A fault of ours: it costs those who wait, and not the worker. */
  #guarded(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#over = true;
      this.#close();
      for (const { exchange } of this.#takeWaiters()) exchange.fail(error);
      this.#body.break('internal_error');
      queueMicrotask(() => this.#fetch?.abort());
    }
  }

  // --- the answer, as its stream ---

  judge(status: number, fields: Fields, length: BodyLength): boolean {
    this.#verdict = this.#keeping.judge(status, fields, length, this.#validated?.entry);
    return this.#verdict !== undefined;
  }

  respond(status: number, fields: Fields, length: BodyLength, first: Buffer | undefined, start: number, end: number, _stable: boolean, last: boolean): boolean {
    this.#guarded(() => this.#respond(status, fields, length, first, start, end, last));
    return this.#over || this.#body.hasRoom;
  }

  #respond(status: number, fields: Fields, length: BodyLength, first: Buffer | undefined, start: number, end: number, last: boolean): void {
    this.responded = true;
    this.#status = status;
    this.#length = length;
    const { entry, body } = this.#validated ?? {};
    if (status === 304 && entry !== undefined && body !== undefined) {
      this.#freshened(entry, body);
      return;
    }
    if (entry !== undefined && TROUBLE.has(status)) {
      this.#standIn(entry);
      if (this.#waiters.length === 0) {
        this.#over = true;
        this.#close();
        if (!last) queueMicrotask(() => this.#fetch?.abort());
        return;
      }
    }
    const verdict = this.#verdict;
    // What has come at once may be more than the head has said.
    if (verdict === undefined || !this.#keeping.reserve(length > 0 ? length : end - start)) {
      this.#verdict = undefined;
      this.#passOn(fields, length);
      if (first !== undefined) this.#body.write(first, start, end);
      if (last) this.#end(undefined);
      return;
    }
    this.#keeping.rememberVary(verdict.terms);
    if (first !== undefined) this.#body.write(first, start, end);
    if (last) this.#store(verdict);
    for (const waiter of this.#takeWaiters()) {
      if (waiter === this.#owner) this.#giveOwner(waiter, fields, last);
      else this.#give(waiter, last);
    }
    if (last) this.#end(undefined);
    else if (this.#claimed) setTimeout(() => this.#guarded(() => this.#unclaim('again')), SLOW_BODY).unref();
  }

  respondText(): void {}

  writeBody(bytes: Buffer, start: number, end: number): boolean {
    if (this.#over) return true;
    this.#guarded(() => {
      if (this.#body.isKept && !this.#keeping.reserve(this.#body.length + end - start)) this.#keepNoMore();
      this.#body.write(bytes, start, end);
    });
    return this.#over || this.#body.hasRoom;
  }

  /** Too long after all. Those who have begun to read it get the rest; nobody else does. */
  #keepNoMore(): void {
    this.#cache.notShared(this.#storedKey, true);
    this.#unclaim('alone');
    this.#close();
    this.#body.keepNoMore();
    this.#unread();
  }

  endBody(trailers: Fields | undefined): void {
    if (this.#over) return;
    this.#guarded(() => {
      if (this.#verdict !== undefined && this.#body.isKept) this.#store(this.#verdict);
      this.#end(trailers);
    });
  }

  /** It breaks off: who has a part of it sees that, and nothing is stored. */
  abort(): void {
    if (this.#over) return;
    this.#guarded(() => {
      this.#close();
      this.#over = true;
      this.#body.break('upstream_reset');
    });
  }

  onReply(reply: Reply): void {
    if (this.#over) return;
    this.#guarded(() => {
      const entry = this.#validated?.entry;
      if (entry !== undefined && TROUBLE.has(reply.status)) this.#standIn(entry);
      const waiters = this.#takeWaiters();
      this.#over = true;
      // Who waited for a backend that is not there need not find out again. Any other reply may be about whose request it was, and have
      // in it what is for them alone.
      const isForAll = reply.ofBackend === true;
      if (!isForAll) {
        this.#cache.notShared(this.#storedKey);
        this.#unclaim('alone');
      }
      this.#close();
      for (const waiter of waiters) {
        if (waiter !== this.#owner && !isForAll) {
          this.#returns.alone(waiter);
          continue;
        }
        this.#results(waiter).miss++;
        this.#returns.tell(waiter.exchange, waiter.forwarded);
        waiter.exchange.reply = reply;
        waiter.exchange.resume();
      }
    });
  }

  resumeRequestBody(): void {}
  pauseRequestBody(): void {}
  setBodyLimit(): void {}

  /** Early hints are for the client whose request it is. */
  inform(status: number, fields: Fields): void {
    this.#waiters.find((waiter) => waiter === this.#owner)?.exchange.stream.inform(status, fields);
  }

  // --- what comes of it ---

  #takeWaiters(): Waiter[] {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const { exchange } of waiters) exchange.onAbandoned = undefined;
    return waiters;
  }

  #results({ exchange }: Waiter): CacheResults {
    return this.#cache.results(exchange.routeId);
  }

  /** Good for one alone. */
  #passOn(fields: Fields, length: BodyLength): void {
    // A 304 to the client's own condition says nothing of the answer.
    if (this.#status !== 304) this.#cache.notShared(this.#storedKey);
    this.#unclaim(this.#status === 304 ? 'again' : 'alone');
    this.#close();
    // A newer answer that is not to be stored is no reason to go on with the older one, but trouble is.
    if (this.#validated !== undefined && !TROUBLE.has(this.#status)) this.#cache.memory.remove(this.#key.url, this.#storedKey);
    const waiters = this.#takeWaiters();
    const owner = waiters.find((waiter) => waiter === this.#owner);
    if (owner !== undefined) {
      this.#results(owner).miss++;
      this.#returns.tell(owner.exchange, owner.forwarded);
      owner.exchange.given = { status: this.#status, fields, length, body: undefined, source: this.#body.reader(), reason: '' };
      owner.exchange.resume();
    }
    this.#body.keepNoMore();
    for (const waiter of waiters) if (waiter !== owner) this.#returns.alone(waiter);
    this.#unread();
  }

  /** @param fields of the answer, as they came */
  #giveOwner(waiter: Waiter, fields: Fields, last: boolean): void {
    this.#results(waiter).miss++;
    this.#returns.tell(waiter.exchange, `${waiter.forwarded}; stored`);
    this.#deliver(waiter, { status: this.#status, fields, receivedAt: this.#keeping.receivedAt, reason: '' }, last);
  }

  /** To one of the others. */
  #give(waiter: Waiter, last: boolean): void {
    const { terms, kept } = this.#verdict as Verdict;
    const age = terms.initialAge + (this.#cache.now() - this.#keeping.arrivedAt);
    if (!this.#mayHave(waiter, terms, age)) return;
    this.#results(waiter).collapsed++;
    this.#returns.tell(waiter.exchange, `${waiter.forwarded}; collapsed`);
    const fields = fieldsOfHead(kept);
    setAge(fields, age);
    this.#deliver(waiter, { status: kept.status, fields, receivedAt: this.#keeping.receivedAt, reason: '' }, last);
  }

  /** Whether the answer is one of the others' as well; where not, that one goes its own way. */
  #mayHave(waiter: Waiter, terms: Verdict['terms'], age: number): boolean {
    if (!this.#keeping.isFor(waiter.exchange.requestFields, terms)) this.#returns.again(waiter);
    else if (useOf(terms, age, waiter.asking) !== Use.Fresh) this.#returns.alone(waiter);
    else return true;
    return false;
  }

  /** @param whole the body has come to its end */
  #deliver({ exchange, asking }: Waiter, head: GivenHead, whole: boolean): void {
    if (whole) {
      giveWhole(exchange, asking, head, Buffer.concat(this.#body.chunks), this.#length === NO_BODY);
    } else {
      const partial = isUnmet(exchange, asking, head);
      exchange.given = partial ?? { ...head, length: this.#length, body: undefined, source: this.#body.reader() };
    }
    exchange.resume();
  }

  /** The origin says that what is stored is still good. */
  #freshened(entry: StoredEntry, body: Buffer): void {
    const verdict = this.#verdict;
    this.#over = true;
    this.#close();
    if (verdict === undefined) {
      // It is another one after all, or not to be kept any more: everybody asks anew.
      this.#cache.memory.remove(this.#key.url, this.#storedKey);
      for (const waiter of this.#takeWaiters()) this.#returns.again(waiter);
      return;
    }
    const { terms, kept } = verdict;
    this.#keeping.rememberVary(terms);
    this.#keeping.put(verdict, [body]);
    for (const waiter of this.#takeWaiters()) {
      const { exchange, asking } = waiter;
      const isOwner = waiter === this.#owner;
      // It may say only now what the answer varies by.
      if (!isOwner && !this.#mayHave(waiter, terms, terms.initialAge)) continue;
      this.#results(waiter)[isOwner ? 'revalidated' : 'collapsed']++;
      this.#returns.tell(exchange, `${waiter.forwarded}; fwd-status=304; ${isOwner ? 'stored' : 'collapsed'}`);
      const fields = fieldsOfHead(kept);
      setAge(fields, terms.initialAge);
      giveWhole(exchange, asking, { status: entry.status, fields, receivedAt: this.#keeping.receivedAt, reason: 'cache_revalidated' }, body, hasNoBody(entry));
      exchange.resume();
    }
  }

  /** Gives those who may have it what is stored, though it is stale, because the origin fails. */
  #standIn(entry: StoredEntry): void {
    const age = entry.initialAge + (this.#cache.now() - entry.storedAt);
    const { body } = this.#validated as Validated;
    for (const waiter of this.#takeWaiters()) {
      const { exchange, asking } = waiter;
      if (!servesOnError(entry, age, asking)) {
        this.join(waiter);
        continue;
      }
      this.#results(waiter).stale++;
      this.#returns.tell(exchange, `hit; fwd=stale${this.#status === 0 ? '' : `; fwd-status=${this.#status}`}`);
      const fields = fieldsOfHead(entry);
      setAge(fields, age);
      giveWhole(exchange, asking, { status: entry.status, fields, receivedAt: entry.receivedAt, reason: 'cache_stale' }, body, hasNoBody(entry));
      exchange.resume();
    }
  }

  #store(verdict: Verdict): void {
    this.#keeping.put(verdict, this.#body.chunks);
    this.#cache.shared(this.#storedKey);
  }

  #end(trailers: Fields | undefined): void {
    this.#over = true;
    this.#close();
    this.#body.finish(trailers);
  }

  #unclaim(outcome: CacheNews['outcome']): void {
    if (!this.#claimed) return;
    this.#claimed = false;
    if (this.#cache.memory.unclaim(this.#key.url, this.#storedKey)) this.#cache.tell({ type: 'over', key: this.#storedKey, outcome });
  }

  /** Nobody finds it any more. */
  #close(): void {
    this.#unclaim('again');
    this.#keeping.release();
    if (this.#cache.flights.get(this.#storedKey) === this) this.#cache.flights.delete(this.#storedKey);
  }
}
