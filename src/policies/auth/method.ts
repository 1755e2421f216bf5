/** What the methods of AuthPolicies have in common. Each is one file, and one line in methods.ts. */
import type { Exchange, Reply } from '../../exchange/exchange.ts';
import type { Fields } from '../../exchange/fields.ts';
import type { Identity } from '../../exchange/identity.ts';

/** The request ends here, with an answer of the gateway's: 401 and 403 as much as a redirect to where somebody signs in. */
export class Refusal {
  readonly reply: Reply;

  constructor(reply: Reply) {
    this.reply = reply;
  }

  /** It is for want of something of ours, and says nothing of the client. */
  get isFailure(): boolean {
    return this.reply.status >= 500;
  }
}

/**
 * What a method or a check will come to later. Whoever returns one settles it exactly once, also with a refusal when something
 * fails: nothing else ends the wait but the request's own time-out.
 */
export class Pending<Result> {
  /** Called when the client is gone meanwhile, to end what is under way; `settle` may be called all the same. */
  onAbandoned: (() => void) | undefined = undefined;
  #listener: ((result: Result) => void) | undefined = undefined;
  #settled: { readonly result: Result } | undefined = undefined;

  settle(result: Result): void {
    if (this.#settled !== undefined) return;
    this.#settled = { result };
    this.#listener?.(result);
  }

  /** What it has come to already. */
  get settled(): { readonly result: Result } | undefined {
    return this.#settled;
  }

  /** For the filter alone. Never calls at once: `settled` tells. */
  listen(listener: (result: Result) => void): void {
    this.#listener = listener;
  }
}

/**
 * @param later what is waited for
 * @param judge what it comes to
 * @param failure what that is where anything throws: nobody may pass then, nor wait for ever
 */
export function pendingOf<Outcome, Result>(later: Promise<Outcome>, judge: (outcome: Outcome) => Result, failure: Result): Pending<Result> {
  const pending = new Pending<Result>();
  void later
    .then(judge)
    .catch(() => failure)
    .then((result) => pending.settle(result));
  return pending;
}

/** What a credential that is present came to. */
export type Judgement = Identity | Refusal;

/** One item of an AuthPolicy's `methods`, compiled for one policy. It keeps nothing of an exchange. */
export interface AuthMethod {
  /** As in the policy; the label of metrics. */
  readonly name: string;
  /** A few words for `explain`. */
  describe(): string;
  /** Value of WWW-Authenticate for clients that bring no credential; undefined: nothing that they could do with it. */
  readonly challenge: string | undefined;
  /**
   * Looks for its credential, and judges it.
   * @returns undefined: there is none, and the next method has its turn
   */
  authenticate(exchange: Exchange): Judgement | Pending<Judgement> | undefined;
  /** Takes its credential, good or bad, out of what goes to the backend. */
  strip(exchange: Exchange): void;
  /** Takes what is the gateway's own out of what anybody behind it gets, whichever method decides, and whether anybody is known. */
  conceal?(exchange: Exchange): void;
  /**
   * For a client without any credential, where none may pass: what it is told in place of 401, such as where to sign in.
   * The first method that has something to tell is heard. @returns undefined: nothing
   */
  invite?(exchange: Exchange): Refusal | Pending<Refusal> | undefined;
  /** On the head of every answer of the route, as `Filter.onResponse`. */
  onResponse?(exchange: Exchange, status: number, fields: Fields): void;
}

/** What is asked after the methods, whoever calls: authorization, and a service of somebody else's. In order, all must pass. */
export interface AuthCheck {
  /** The label of metrics. */
  readonly name: string;
  /** A no to nobody in particular may be a yes once the client says who it is. */
  readonly isOfIdentity?: true;
  describe(): string;
  /** @returns undefined: it may pass */
  check(exchange: Exchange): Refusal | Pending<Refusal | undefined> | undefined;
  /** As `AuthMethod.onResponse`. */
  onResponse?(exchange: Exchange, status: number, fields: Fields): void;
}

/** 401 for a credential that is present and not good (RFC 9110 section 15.5.2). @param reason for the log, in one word */
export function badCredential(reason: string, challenge: string): Refusal {
  return new Refusal({ status: 401, reason, detail: 'The credential is not good.', fields: [['WWW-Authenticate', challenge]] });
}

/** 503: who calls can't be found out, for want of something of ours. @param reason for the log, in one word */
export function unavailable(reason: string): Refusal {
  return new Refusal({ status: 503, reason, detail: 'Who calls can not be found out at present.', fields: [['Retry-After', '5']] });
}

/** 400 for what could be read in two ways. */
export const REPEATED_CREDENTIAL = new Refusal({ status: 400, reason: 'repeated_credential', detail: 'The credential is there more than once.' });
