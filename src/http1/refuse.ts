import { newRequestId } from '../exchange/request-id.ts';
import type { Refusal } from '../exchange/streams.ts';
import type { Connection } from '../wire/wire.ts';
import type { Fault } from './fault.ts';
import { bodyLength, problemAnswer } from './problem-answer.ts';
import type { RequestHeadParser } from './request-head.ts';

/**
 * Writes the answer to a request that is refused before there is an exchange.
 * @param parser what it has read of the request
 * @param startedAt `performance.now()` at the request's first byte
 * @param now a reading of `Deadlines.now`
 * @returns for log and metrics
 */
export function refuse(fault: Fault, connection: Connection, parser: RequestHeadParser, startedAt: number, now: number): Refusal {
  const requestId = newRequestId();
  const { method, host, target, protocol } = parser;
  const answer = problemAnswer(fault, requestId, method === 'HEAD', now);
  connection.writeLatin1(answer);
  return {
    requestId,
    status: fault.status,
    reason: fault.reason,
    clientAddress: connection.remoteAddress,
    tls: connection.tls,
    method,
    host,
    target,
    protocol,
    responseBytes: bodyLength(answer),
    startedAt,
  };
}
