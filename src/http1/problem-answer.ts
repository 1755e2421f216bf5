import { problemBody } from '../exchange/problem.ts';
import type { Fault } from './fault.ts';
import { dateLine, statusLine } from './message-writer.ts';

/** The line by which a 405 names what is allowed (RFC 9110 section 15.5.6). */
export const ALLOW = 'Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n';

/**
 * The engine's own answer to a request that it can't or won't go on with, the last of its connection: what comes after a
 * mistake can't be trusted to be a request.
 * @param now a reading of `Deadlines.now`
 */
export function problemAnswer(fault: Fault, requestId: string, isHead: boolean, now: number): string {
  const body = problemBody(fault.status, fault.detail, requestId);
  const allow = fault.status === 405 ? ALLOW : '';
  const head = `${statusLine(fault.status)}Content-Type: application/problem+json\r\nContent-Length: ${body.length}\r\nX-Request-Id: ${requestId}\r\n`;
  return `${head}${allow}Connection: close\r\n${dateLine(now)}\r\n${isHead ? '' : body}`;
}

/** @param answer made by problemAnswer @returns bytes of its body */
export function bodyLength(answer: string): number {
  return answer.length - (answer.indexOf('\r\n\r\n') + 4);
}
