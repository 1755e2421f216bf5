/** What goes wrong between us and the API server, each thing told once, and told again when it is over. */
import type { SourceLog } from '../source.ts';
import { classOf } from './backoff.ts';
import type { Collection } from './collections.ts';
import { oneLine, reasonOf } from './errors.ts';
import type { Reflector } from './reflector.ts';

/** Failures in a row after which one who has read before counts as cut off: API servers are replaced, and connections with them. */
const CUT_OFF_AFTER = 2;

/** What a reflector reads. */
export interface Reading {
  readonly collection: Collection;
  readonly namespace: string | undefined;
  /** Of one object. */
  readonly name: string | undefined;
  readonly reflector: Reflector;
}

export class TroubleLog {
  readonly #server: string;
  readonly #log: SourceLog;
  /** Failures in a row of those that get no answer. */
  readonly #cutOff = new Map<Reflector, number>();
  #isOutTold = false;
  readonly #denied = new Set<Reflector>();
  readonly #absent = new Set<string>();

  constructor(server: string, log: SourceLog) {
    this.#server = server;
    this.#log = log;
  }

  /** @param failure undefined: it reads as it should, or reads no more */
  report(reading: Reading, failure: unknown): void {
    this.#reachability(reading, failure);
    this.#permission(reading, failure);
    this.#presence(reading, failure);
  }

  #reachability({ collection, reflector }: Reading, failure: unknown): void {
    const failed = failure === undefined ? undefined : classOf(failure);
    if (failed === 'connection' || failed === 'credentials' || failed === 'starting' || failed === 'server') {
      const count = (this.#cutOff.get(reflector) ?? 0) + 1;
      this.#cutOff.set(reflector, count);
      if (this.#isOutTold || (reflector.hasSynced && count < CUT_OFF_AFTER)) return;
      this.#isOutTold = true;
      const reason = reasonOf(failure);
      this.#log('warn', 'the API server cannot be read', { server: this.#server, resource: collection.resource, reason, error: oneLine(failure) });
      return;
    }
    if (!this.#cutOff.delete(reflector) || this.#cutOff.size > 0 || !this.#isOutTold) return;
    this.#isOutTold = false;
    this.#log('info', 'the API server is read again', { server: this.#server });
  }

  /** A server that has only just started refuses for a moment: that is told only once it lasts. */
  #permission(reading: Reading, failure: unknown): void {
    const { collection, namespace, name, reflector } = reading;
    const where = { resource: collection.resource, ...(namespace === undefined ? {} : { namespace }), ...(name === undefined ? {} : { name }) };
    if (failure === undefined) {
      if (this.#denied.delete(reflector) && reflector.state === 'synced') this.#log('info', 'permitted to read from the API server', where);
      return;
    }
    if (classOf(failure) !== 'denied' || this.#denied.has(reflector) || !(reflector.hasSynced || reflector.state === 'denied')) return;
    this.#denied.add(reflector);
    const fields = { ...where, effect: effectOf(reading), error: oneLine(failure) };
    this.#log('warn', 'not permitted to read from the API server', fields);
  }

  #presence({ collection: { resource, mayBeAbsent, kind }, reflector }: Reading, failure: unknown): void {
    if (reflector.state === 'synced') {
      if (this.#absent.delete(resource)) this.#log('info', 'a kind is installed in the cluster now', { kind: kind.kind });
      return;
    }
    if (reflector.state !== 'absent' || failure === undefined || this.#absent.has(resource)) return;
    this.#absent.add(resource);
    // Nobody needs to have Gateway API.
    const level = mayBeAbsent && kind.kind !== 'ReferenceGrant' ? 'warn' : 'info';
    this.#log(level, 'a kind is not installed in the cluster', { kind: kind.kind, hint: `install its CustomResourceDefinition (${resource}) to use it` });
  }
}

function effectOf({ collection, name, reflector }: Reading): string {
  if (collection.kind.kind === 'Secret' && name === undefined) return 'Secrets are watched one by one, by the names that routes give';
  return reflector.hasSynced ? 'what was read of it stays in force' : 'nothing of it is read';
}
