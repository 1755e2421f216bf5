import { AUTH_EXAMPLES } from './auth-rules.ts';

/** For each kind of ours a spec in which every object that the schema knows is there at least once. */

const HEADER_EDITS = { set: [{ name: 'x-set', value: 'a' }], add: [{ name: 'x-add', value: 'b' }], remove: ['x-remove'] };

export const EXAMPLES: Readonly<Record<string, unknown>> = {
  ...AUTH_EXAMPLES,
  ApiRoute: {
    ingressClassName: 'nobody',
    hostnames: ['example.com', '*.example.com'],
    tls: {
      secretName: 'certificate',
      redirect: true,
      mode: 'Terminate',
      clientValidation: { caCertificateRefs: [{ kind: 'Secret', name: 'ca' }], crlRefs: [{ name: 'revoked' }], mode: 'Request' },
    },
    rules: [
      {
        name: 'rewrite',
        matches: [
          {
            path: { type: 'PathPrefix', value: '/a' },
            methods: ['GET'],
            headers: [{ name: 'x-a', value: '1' }],
            queryParams: [{ name: 'q', type: 'Present' }],
            cookies: [{ name: 'c', type: 'RegularExpression', value: '[a-z]+' }],
            clientCIDRs: ['10.0.0.0/8'],
            scheme: 'https',
          },
        ],
        filters: {
          requestHeaderModifier: HEADER_EDITS,
          responseHeaderModifier: HEADER_EDITS,
          urlRewrite: { hostname: 'inner.example.com', path: { type: 'ReplacePrefixMatch', value: '/b' } },
          limits: { maxRequestBodyBytes: 1024, maxRequestHeaderBytes: 1024, maxResponseBodyBytes: 1024 },
          cors: {
            allowOrigins: ['https://*.example.com', 'null'],
            allowMethods: ['GET', '*'],
            allowHeaders: ['x-a', '*'],
            exposeHeaders: ['x-b'],
            maxAge: '10m',
            allowCredentials: true,
          },
          compression: { algorithms: ['zstd', 'br', 'gzip'], minBytes: 0, contentTypes: ['text/*'] },
          decompression: { algorithms: ['gzip'], maxBytes: 1048576, maxRatio: 50 },
          errorPages: { pages: [{ statuses: ['404', '500-599'], contentType: 'text/plain', body: 'sorry' }], intercept: true },
          ipAccess: { allow: ['10.0.0.0/8'], deny: ['10.1.0.0/16'] },
          faultInjection: { delay: { duration: '1s', percent: 5 }, abort: { statusCode: 503, percent: 1 } },
          mirror: { backendRef: { name: 'shadow', namespace: 'other', port: 80 }, percent: 10 },
          transform: { request: { body: 'request.body' }, response: { body: 'response.body', status: '200', headers: { 'x-total': 'response.body.total' } } },
          cache: { maxEntryBytes: 1048576, defaultTTL: '0s', varyOnQuery: ['page'], staleWhileRevalidate: '30s', staleIfError: '5m' },
        },
        timeouts: { request: '10s', backendRequest: '1s500ms', idle: '1m' },
        retry: { attempts: 2, on: ['reset', 503], backoff: '25ms', maxBackoff: '1s', budgetPercent: 10, nonIdempotent: true },
        hedge: { after: '100ms', max: 2 },
        fallback: { on: [502], backendRef: { name: 'spare', namespace: 'other', port: 80 } },
        backendRefs: [
          {
            name: 'orders',
            namespace: 'other',
            port: 'http',
            weight: 2,
            backup: false,
            filters: { requestHeaderModifier: HEADER_EDITS, responseHeaderModifier: HEADER_EDITS },
          },
          { name: 'orders', port: 80, backup: true },
        ],
      },
      {
        name: 'redirect',
        filters: {
          requestRedirect: { scheme: 'https', hostname: 'www.example.com', port: 8443, path: { type: 'ReplaceFullPath', value: '/' }, statusCode: 308 },
        },
      },
      {
        name: 'aggregate',
        matches: [{ path: { type: 'PathPrefix', value: '/users/{id}' } }],
        filters: {
          requestHeaderModifier: { set: [{ name: 'x-user', expression: 'identity.subject' }], add: [{ name: 'x-id', expression: 'request.path.id' }] },
          aggregate: {
            timeout: '2s',
            calls: [
              {
                name: 'user',
                backendRef: { name: 'users', namespace: 'other', port: 80 },
                request: { method: 'POST', path: "'/users/' + request.path.id", headers: { 'x-a': "request.headers['x-a']" }, body: 'request.body' },
                timeout: '300ms',
                retry: { attempts: 1, on: [503], backoff: '25ms', maxBackoff: '1s' },
                hedge: { after: '100ms', max: 1 },
                when: "request.method == 'GET'",
                onError: { value: '[]' },
              },
            ],
            response: { status: '200', headers: { 'cache-control': "'private'" }, body: "{'name': user.body.name, 'partial': user.failed}" },
          },
        },
      },
      {
        name: 'transcoded',
        filters: {
          grpcJson: {
            backendRef: { name: 'orders', namespace: 'other', port: 'grpc' },
            descriptorSetRef: { name: 'descriptors', key: 'shop.pb' },
            services: ['shop.v1.Orders'],
            timeout: '1s',
            retry: { attempts: 1, on: ['reset'], backoff: '25ms', maxBackoff: '1s' },
          },
        },
      },
      {
        name: 'answer',
        fallback: { response: { statusCode: 503, contentType: 'text/plain', body: 'sorry' } },
        filters: { directResponse: { statusCode: 503, contentType: 'text/plain', body: 'closed', headers: [{ name: 'retry-after', value: '5' }] } },
      },
    ],
  },
  BackendPolicy: {
    targetRefs: [{ group: '', kind: 'Service', name: 'orders', sectionName: 'http' }],
    loadBalancer: { type: 'ConsistentHash', consistentHash: { type: 'Header', name: 'x-user' } },
    connection: { connectTimeout: '1s', idleTimeout: '30s', maxRequests: 100 },
    healthCheck: {
      active: {
        type: 'HTTP',
        path: '/healthz',
        port: 8081,
        expectedStatuses: ['200-299', '404'],
        interval: '5s',
        timeout: '1s',
        healthyThreshold: 2,
        unhealthyThreshold: 3,
      },
      passive: { consecutiveErrors: 5, errorStatuses: ['500-599'], baseEjection: '30s', maxEjectionPercent: 50 },
      panicThresholdPercent: 30,
    },
    circuitBreaker: { maxConnections: 100, maxPendingRequests: 10, maxRequests: 200, failurePercent: 50, minRequests: 20, window: '10s', openFor: '30s' },
    sessionAffinity: { cookieName: 'TG', ttl: '1h', mode: 'Balanced' },
    protocol: 'HTTP2',
    proxyProtocol: 'V2',
    tls: { hostname: 'orders.internal', caCertificateRefs: [{ kind: 'ConfigMap', name: 'ca' }], clientCertificateRef: { name: 'client' } },
  },
  RateLimitPolicy: {
    targetRefs: [{ group: 'tidegate.dev', kind: 'ApiRoute', name: 'shop', sectionName: 'orders' }],
    scope: 'Global',
    onStoreFailure: 'Local',
    limits: [
      { name: 'burst', algorithm: 'TokenBucket', requests: 10, period: '1m', burst: 20, key: [{ type: 'Header', name: 'x-tenant' }], mode: 'Shadow' },
      { name: 'quota', algorithm: 'FixedWindow', requests: 1000, calendar: 'Month', when: "'gold' in identity.groups", cost: '2' },
      {
        name: 'claims',
        requests: 10,
        period: '1s',
        key: [{ type: 'Claim', name: 'sub' }, { type: 'Consumer' }, { type: 'Expression', expression: 'request.host' }],
      },
    ],
  },
};
