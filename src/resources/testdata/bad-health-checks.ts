import type { BadObject } from './bad-routes.ts';
import { backendPolicy, type Fields } from './objects.ts';

const active = (fields: Fields): Fields => backendPolicy({ healthCheck: { active: fields } });
const passive = (fields: Fields): Fields => backendPolicy({ healthCheck: { passive: fields } });
const ACTIVE = 'spec.healthCheck.active';
const PASSIVE = 'spec.healthCheck.passive';

/** Health checks and slow start, each wrong in one place. */
export const BAD_HEALTH_CHECKS: readonly BadObject[] = [
  ['health check of nothing', backendPolicy({ healthCheck: {} }), 'spec.healthCheck', /neither active nor passive/, /TCP/],
  ['health path without slash', active({ path: 'healthz' }), `${ACTIVE}.path`, /does not begin with \//, /write \/healthz/],
  ['health path that is a URL', active({ path: 'http://a/healthz' }), `${ACTIVE}.path`, /is no path/, /path alone/],
  ['health path with a space', active({ path: '/a b' }), `${ACTIVE}.path`, /no path has/, /percent-encode/],
  ['health path with a line break', active({ path: '/a\r\nX: y' }), `${ACTIVE}.path`, /no path has/, /percent-encode/],
  ['health path with a broken escape', active({ path: '/a%zz' }), `${ACTIVE}.path`, /escapes nothing/, /%25/],
  ['health path for TCP', active({ type: 'TCP', path: '/' }), `${ACTIVE}.path`, /no meaning with type TCP/, /type: HTTP/],
  ['expected statuses for gRPC', active({ type: 'GRPC', expectedStatuses: ['200'] }), `${ACTIVE}.expectedStatuses`, /no meaning with type GRPC/, /leave/],
  ['gRPC service for HTTP', active({ service: 'a.B' }), `${ACTIVE}.service`, /no meaning with type HTTP/, /type: GRPC/],
  ['gRPC service with a space', active({ type: 'GRPC', service: 'a B' }), `${ACTIVE}.service`, /no name of a gRPC service/, /shop\.Orders/],
  ['check of another type', active({ type: 'ICMP' }), `${ACTIVE}.type`, /"ICMP" is not one of/, /TCP/],
  ['check on port 0', active({ port: 0 }), `${ACTIVE}.port`, /out of range/, /1 to 65535/],
  ['checks without a pause', active({ interval: '0s' }), `${ACTIVE}.interval`, /longer than zero/, /1s/],
  ['checks without time', active({ timeout: '0s' }), `${ACTIVE}.timeout`, /longer than zero/, /1s/],
  ['healthy at once', active({ healthyThreshold: 0 }), `${ACTIVE}.healthyThreshold`, /0 is out of range/, /1 to 100/],
  ['unhealthy never', active({ unhealthyThreshold: 101 }), `${ACTIVE}.unhealthyThreshold`, /101 is out of range/, /1 to 100/],
  ['unhealthy after one and a half', active({ unhealthyThreshold: 1.5 }), `${ACTIVE}.unhealthyThreshold`, /not a whole number/, /1 to 100/],
  ['no expected status', active({ expectedStatuses: [] }), `${ACTIVE}.expectedStatuses`, /empty/, /at least one/],
  ['status that is none', active({ expectedStatuses: ['2xx'] }), `${ACTIVE}.expectedStatuses[0]`, /neither a status nor a range/, /"200-299"/],
  ['status out of range', active({ expectedStatuses: ['200-600'] }), `${ACTIVE}.expectedStatuses[0]`, /neither a status nor a range/, /599/],
  ['range the wrong way round', passive({ errorStatuses: ['599-500'] }), `${PASSIVE}.errorStatuses[0]`, /ends before it begins/, /"500-599"/],
  ['no error at all', passive({ consecutiveErrors: 0 }), `${PASSIVE}.consecutiveErrors`, /0 is out of range/, /1 to 1000/],
  ['ejection of no time', passive({ baseEjection: '0s' }), `${PASSIVE}.baseEjection`, /longer than zero/, /1s/],
  ['ejection for an hour', passive({ baseEjection: '1h' }), `${PASSIVE}.baseEjection`, /1h is too long/, /at most 300s/],
  ['more than all ejected', passive({ maxEjectionPercent: 101 }), `${PASSIVE}.maxEjectionPercent`, /101 is out of range/, /1 to 100/],
  ['none ejected', passive({ maxEjectionPercent: 0 }), `${PASSIVE}.maxEjectionPercent`, /0 is out of range/, /1 to 100/],
  [
    'panic above all',
    backendPolicy({ healthCheck: { passive: {}, panicThresholdPercent: 101 } }),
    'spec.healthCheck.panicThresholdPercent',
    /101 is out of range/,
    /0 to 100/,
  ],
  [
    'slow start with a hash',
    backendPolicy({ loadBalancer: { type: 'SourceIP', slowStart: '30s' } }),
    'spec.loadBalancer.slowStart',
    /no meaning with type SourceIP/,
    /RoundRobin/,
  ],
  ['slow start of no time', backendPolicy({ loadBalancer: { slowStart: '0s' } }), 'spec.loadBalancer.slowStart', /longer than zero/, /1s/],
];
