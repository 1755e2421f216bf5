/** tidegate.dev/v1alpha1 BackendPolicy. */
import { z } from 'zod';
import { UPSTREAM } from '../snapshot/defaults.ts';
import { backendTls } from './backend-tls.ts';
import { circuitBreaker } from './circuit-breaker.ts';
import { duration, oneOf, wholeNumber } from './fields.ts';
import { healthCheck } from './health-check.ts';
import { namespacedMetadata, unused } from './metadata.ts';
import { targetRefs } from './policy-target.ts';
import { requestPart } from './request-part.ts';
import { sessionAffinity } from './session-affinity.ts';
import { flaws, strictObject } from './strict-object.ts';

const consistentHash = requestPart(['SourceIP', 'Header', 'Cookie', 'QueryParam', 'Path'], 'What of a request is hashed.');

const loadBalancer = strictObject(
  {
    type: oneOf(['RoundRobin', 'LeastRequest', 'Random', 'PeakEWMA', 'SourceIP', 'ConsistentHash'])
      .default(UPSTREAM.loadBalancer.type)
      .describe(
        'How an endpoint is picked. LeastRequest: the less busy of two picked at random. PeakEWMA: the one that is likely to answer first. SourceIP and ConsistentHash: always the same one for a client or for a value, as long as it is there.',
      ),
    consistentHash: consistentHash.exactOptional().describe('For type ConsistentHash: what is hashed.'),
    slowStart: duration({ positive: true, max: 3_600_000 })
      .exactOptional()
      .describe('How long the share of an endpoint that is new, or healthy again, grows from 10 % to full. Not for SourceIP and ConsistentHash.'),
    zoneAware: z
      .boolean()
      .exactOptional()
      .describe("Prefer endpoints of the gateway's own zone (--zone), while it has at least half as many ready ones as a zone has on average."),
  },
  {
    cel: [
      {
        rule: "has(self.consistentHash) == (has(self.type) && self.type == 'ConsistentHash')",
        message: 'consistentHash goes with type ConsistentHash, which needs it',
      },
      {
        rule: "has(self.slowStart) ? !has(self.type) || !(self.type in ['SourceIP', 'ConsistentHash']) : true",
        message: 'slowStart does not go with SourceIP and ConsistentHash',
      },
    ],
  },
).superRefine(
  flaws((value) => {
    if (value.type === 'ConsistentHash' && value.consistentHash === undefined) {
      return {
        message: 'type ConsistentHash needs consistentHash',
        hint: 'write consistentHash: { type: Header, name: x-user } or another',
        path: ['consistentHash'],
      };
    }
    if (value.type !== 'ConsistentHash' && value.consistentHash !== undefined) {
      return {
        message: `consistentHash has no meaning with type ${value.type}`,
        hint: 'write type: ConsistentHash, or leave consistentHash out',
        path: ['consistentHash'],
      };
    }
    if (value.slowStart !== undefined && (value.type === 'SourceIP' || value.type === 'ConsistentHash')) {
      return {
        message: `slowStart has no meaning with type ${value.type}, where each request has its endpoint`,
        hint: 'leave slowStart out, or use RoundRobin, LeastRequest, Random or PeakEWMA',
        path: ['slowStart'],
      };
    }
    return undefined;
  }),
);

const connection = strictObject({
  // Without a default of its own: an annotation of an Ingress holds where no policy says anything.
  connectTimeout: duration({ positive: true })
    .exactOptional()
    .describe(
      `How long a connection may take to be made. Absent: as the annotation proxy-connect-timeout of an Ingress that leads there says, else ${UPSTREAM.connectTimeout / 1000}s.`,
    ),
  idleTimeout: duration({ positive: true })
    .prefault(`${UPSTREAM.idleTimeout / 1000}s`)
    .describe('How long an idle connection is kept.'),
  maxRequests: wholeNumber({ min: 0, max: 0x7fffffff }).default(UPSTREAM.maxRequestsPerConnection).describe('Requests on one connection; 0: no limit.'),
});

export const backendPolicySchema = strictObject({
  apiVersion: z.literal('tidegate.dev/v1alpha1'),
  kind: z.literal('BackendPolicy'),
  metadata: namespacedMetadata(),
  spec: strictObject(
    {
      targetRefs: targetRefs(['Service'], { Service: '' }, "a port of the Service, by the port's name"),
      loadBalancer: loadBalancer.prefault({}).describe('How requests are spread over endpoints.'),
      connection: connection.prefault({}).describe('Connections to endpoints.'),
      circuitBreaker: circuitBreaker
        .exactOptional()
        .describe('Bounds what goes to the Service at once, and leaves it alone while it fails; counted in each pod. Absent: no limits.'),
      sessionAffinity: sessionAffinity
        .exactOptional()
        .describe('Keeps a client at one endpoint, by a cookie. Absent: each request goes where the balancer says.'),
      healthCheck: healthCheck.exactOptional().describe('When endpoints are taken out of use, and when they come back. Absent: never.'),
      protocol: oneOf(['HTTP1', 'HTTP2', 'H2C'])
        .exactOptional()
        .describe(
          "What endpoints speak. HTTP2: over TLS where tls is given or the port's appProtocol means TLS, else in clear. H2C: in clear, by prior knowledge. Absent: what the port's appProtocol says, else HTTP1.",
        ),
      proxyProtocol: oneOf(['V1', 'V2'])
        .exactOptional()
        .describe(
          'Each connection to the Service begins with a PROXY header of that version, which says whose it is; requests of several clients share none. Absent: none does.',
        ),
      tls: backendTls.exactOptional().describe('Backends are spoken to by TLS.'),
    },
    {
      cel: [
        {
          rule: "!(has(self.protocol) && self.protocol == 'H2C' && has(self.tls))",
          message: 'protocol H2C is HTTP/2 in clear, and does not go with tls; write HTTP2',
        },
      ],
    },
  ).superRefine(
    flaws((value) =>
      value.protocol === 'H2C' && value.tls !== undefined
        ? { message: 'protocol H2C is HTTP/2 in clear, and does not go with tls', hint: 'write protocol: HTTP2, or leave tls out', path: ['protocol'] }
        : undefined,
    ),
  ),
  status: unused,
});

export type BackendPolicy = z.output<typeof backendPolicySchema>;
