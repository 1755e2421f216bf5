/** BackendPolicy's `circuitBreaker`. */
import { CIRCUIT_BREAKER } from '../snapshot/defaults.ts';
import { duration, wholeNumber } from './fields.ts';
import { strictObject } from './strict-object.ts';

const MOST = 0x7fffffff;
/** Times beyond this are mistakes, and clocks that all workers share count so far at least. */
const LONGEST = 3_600_000;

const shortDuration = (milliseconds: number) => duration({ positive: true, max: LONGEST }).prefault(`${milliseconds / 1000}s`);

const D = CIRCUIT_BREAKER;

export const circuitBreaker = strictObject({
  maxConnections: wholeNumber({ min: 1, max: MOST }).default(D.maxConnections).describe('Open connections to all endpoints together.'),
  maxPendingRequests: wholeNumber({ min: 0, max: MOST })
    .default(D.maxPendingRequests)
    .describe('Requests that wait for a connection while there are maxConnections; the next one gets 503. 0: none waits.'),
  maxRequests: wholeNumber({ min: 1, max: MOST }).default(D.maxRequests).describe('Requests under way, those that wait included; the next one gets 503.'),
  failurePercent: wholeNumber({ min: 0, max: 100, hint: 'write a percentage from 1 to 100; 0 for a breaker that never opens' })
    .default(D.failurePercent)
    .describe(
      'Share of failed requests within the window that opens the breaker: no connection, a reset, a time-out or a status of 500 and up. While it is open, requests get 503. 0: it never opens.',
    ),
  minRequests: wholeNumber({ min: 1, max: MOST }).default(D.minRequests).describe('With fewer requests within the window it does not open.'),
  window: shortDuration(D.window).describe('How far back failures count.'),
  openFor: shortDuration(D.openFor).describe('How long it stays open; then halfOpenRequests are let through.'),
  halfOpenRequests: wholeNumber({ min: 1, max: 1000 })
    .default(D.halfOpenRequests)
    .describe('Requests that are let through after openFor. When all of them go well the breaker closes; with the first failure it is open again.'),
});
