import type { Reply } from './exchange.ts';

/** What a filter throws on an answer's way to the client, or on a request's to its backend, to have another answer given in its place. */
export class AnswerRefusal extends Error {
  readonly reply: Reply;

  constructor(reply: Reply) {
    super(reply.reason);
    this.name = 'AnswerRefusal';
    this.reply = reply;
  }
}
