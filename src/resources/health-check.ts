/** `healthCheck` of a BackendPolicy: when endpoints are taken out of use, and when they come back. */
import { z } from 'zod';
import { EJECTION, HEALTH_CHECK } from '../snapshot/defaults.ts';
import type { ActiveCheck, StatusRange } from '../snapshot/upstream.ts';
import { duration, oneOf, portNumber, quote, text, wholeNumber } from './fields.ts';
import { type Flaw, flaws, strictObject } from './strict-object.ts';

const ATOMIC = { 'x-kubernetes-list-type': 'atomic' };
const RANGE = /^([1-5][0-9]{2})(-([1-5][0-9]{2}))?$/;

/** `503` or `500-599`; the output has both ends. */
/** A status, or a range of them. */
export const statusRange = text(rangeFlaw, { pattern: RANGE, minLength: 3, maxLength: 7 }).transform((value): StatusRange => {
  const [, low = '', , high = low] = RANGE.exec(value) ?? [];
  return { from: Number(low), to: Number(high) };
});

function rangeFlaw(value: string): Flaw | undefined {
  const hint = 'write a status from 100 to 599 such as "503", or a range such as "200-299", in quotes';
  const [, low, , high] = RANGE.exec(value) ?? [];
  if (low === undefined) return { message: `${quote(value)} is neither a status nor a range of them`, hint };
  if (high !== undefined && Number(high) < Number(low)) return { message: `${quote(value)} ends before it begins`, hint: `write "${high}-${low}"` };
  return undefined;
}

const statusRanges = (ranges: readonly string[], description: string) =>
  z
    .array(statusRange)
    .min(1)
    .max(16)
    .prefault([...ranges])
    .describe(description)
    .meta(ATOMIC);

/** What is asked for as it is: a path, and perhaps a query (RFC 9112 section 3.2.1). */
const path = text(
  (value) => {
    if (!value.startsWith('/')) {
      const hint = /^[a-z][a-z0-9+.-]*:/i.test(value) ? 'write the path alone, such as /healthz: endpoints are asked by their addresses' : `write /${value}`;
      return { message: `${quote(value)} is no path: it does not begin with /`, hint };
    }
    if (/[^!-~]|#/.test(value)) return { message: `${quote(value)} has a character that no path has`, hint: 'percent-encode spaces, # and what is not ASCII' };
    if (/%(?![0-9A-Fa-f]{2})/.test(value)) return { message: `${quote(value)} has a % that escapes nothing`, hint: 'write %25 for a percent sign' };
    return undefined;
  },
  { pattern: /^\/[!-"$-~]*$/, minLength: 1, maxLength: 1024 },
);

/** The fields of each type alone. */
const OF_TYPE: Readonly<Record<string, string>> = { path: 'HTTP', expectedStatuses: 'HTTP', service: 'GRPC' };

const active = strictObject(
  {
    type: oneOf(['HTTP', 'TCP', 'GRPC'])
      .default('HTTP')
      .describe('HTTP: a GET is answered with an expected status. TCP: a connection comes about. GRPC: grpc.health.v1.Health says SERVING.'),
    path: path.exactOptional().describe('For type HTTP: what is asked for. Absent: /.'),
    expectedStatuses: z
      .array(statusRange)
      .min(1)
      .max(16)
      .exactOptional()
      .describe('For type HTTP: statuses and ranges of a healthy endpoint. Absent: 200-299.')
      .meta(ATOMIC),
    service: text(
      (value) =>
        /^[!-~]+$/.test(value)
          ? undefined
          : { message: `${quote(value)} is no name of a gRPC service`, hint: 'write a name such as shop.Orders, or leave service out for the whole server' },
      { minLength: 1, maxLength: 256 },
    )
      .exactOptional()
      .describe('For type GRPC: the service that is asked about. Absent: the whole server.'),
    port: portNumber
      .exactOptional()
      .describe('Where endpoints are asked, in HTTP/1.1 for type HTTP. Absent: where they serve, in the protocol that they serve.'),
    interval: duration({ positive: true })
      .prefault(`${HEALTH_CHECK.interval / 1000}s`)
      .describe('From one check to the next, give or take 10 %.'),
    timeout: duration({ positive: true })
      .prefault(`${HEALTH_CHECK.timeout / 1000}s`)
      .describe('How long a check may take.'),
    healthyThreshold: wholeNumber({ min: 1, max: 100 })
      .default(HEALTH_CHECK.healthyThreshold)
      .describe('Good checks in a row until an endpoint is used again.'),
    unhealthyThreshold: wholeNumber({ min: 1, max: 100 })
      .default(HEALTH_CHECK.unhealthyThreshold)
      .describe('Bad checks in a row until an endpoint is no longer used.'),
  },
  {
    cel: [
      {
        rule: "(has(self.type) && self.type != 'HTTP') ? !has(self.path) && !has(self.expectedStatuses) : true",
        message: 'path and expectedStatuses go with type HTTP',
      },
      { rule: "has(self.service) ? has(self.type) && self.type == 'GRPC' : true", message: 'service goes with type GRPC' },
    ],
  },
)
  .superRefine(
    flaws((check) =>
      Object.entries(OF_TYPE).flatMap(([field, type]) =>
        check[field as keyof typeof check] === undefined || check.type === type
          ? []
          : [{ message: `${field} has no meaning with type ${check.type}`, hint: `write type: ${type}, or leave ${field} out`, path: [field] }],
      ),
    ),
  )
  .transform(({ type, path: target = HEALTH_CHECK.path, expectedStatuses = HEALTH_CHECK.expectedStatuses, service = '', port, ...rest }): ActiveCheck => {
    const shared = { ...(port === undefined ? {} : { port }), ...rest };
    switch (type) {
      case 'HTTP':
        return { type, path: target, expectedStatuses, ...shared };
      case 'GRPC':
        return { type, service, ...shared };
      case 'TCP':
        return { type, ...shared };
    }
  });

const passive = strictObject({
  consecutiveErrors: wholeNumber({ min: 1, max: 1000 })
    .default(EJECTION.consecutiveErrors)
    .describe('Failed tries in a row, over all workers, until an endpoint is ejected. No connection, a reset and a time-out are failures, too.'),
  errorStatuses: statusRanges(EJECTION.errorStatuses, 'Statuses and ranges that count as failures.'),
  baseEjection: duration({ positive: true, max: EJECTION.longest })
    .prefault(`${EJECTION.base / 1000}s`)
    .describe('How long the first ejection lasts; the second lasts twice as long, and so on, 5 minutes at most.'),
  maxEjectionPercent: wholeNumber({ min: 1, max: 100 })
    .default(EJECTION.maxPercent)
    .describe('Of the endpoints, how many may be ejected at once, rounded down, but one where there are several. The last one never is.'),
});

export const healthCheck = strictObject(
  {
    active: active.exactOptional().describe('Checks that the gateway makes by itself, once per pod.'),
    passive: passive.exactOptional().describe('Ejection of endpoints at which requests fail.'),
    panicThresholdPercent: wholeNumber({ min: 0, max: 100 })
      .default(HEALTH_CHECK.panicThresholdPercent)
      .describe('Below this share of healthy endpoints, all are used. 0: never, so that without a healthy endpoint the answer is 503.'),
  },
  { cel: [{ rule: 'has(self.active) || has(self.passive)', message: 'healthCheck needs active or passive' }] },
).superRefine(
  flaws((value) =>
    value.active === undefined && value.passive === undefined
      ? { message: 'healthCheck has neither active nor passive, so that nothing is ever unhealthy', hint: 'write active: { type: TCP } or passive: {}' }
      : undefined,
  ),
);
