import { RequestHeadParser, type RequestLimits } from './request-head.ts';

/** Parsers that wait for a connection, at most, for each scheme; each is a few hundred bytes. */
const MAX_IDLE = 256;

interface Idle {
  readonly limits: RequestLimits;
  readonly parsers: RequestHeadParser[];
}

const idle: { http: Idle | undefined; https: Idle | undefined } = { http: undefined, https: undefined };

/**
 * A parser for a new connection. Where clients open a connection for each request, making parsers anew would be a good
 * part of its cost, and each would have to judge the same Host again.
 */
export function takeHeadParser(limits: RequestLimits, scheme: 'http' | 'https'): RequestHeadParser {
  const waiting = idle[scheme];
  return (waiting?.limits === limits ? waiting.parsers.pop() : undefined) ?? new RequestHeadParser(limits, scheme);
}

/** @param parser which nobody uses any more; of what it has read it keeps no more than the last good Host, to compare with */
export function giveHeadParser(parser: RequestHeadParser, limits: RequestLimits, scheme: 'http' | 'https'): void {
  let waiting = idle[scheme];
  if (waiting?.limits !== limits) {
    waiting = { limits, parsers: [] };
    idle[scheme] = waiting;
  }
  parser.forget();
  if (waiting.parsers.length < MAX_IDLE) waiting.parsers.push(parser);
}
