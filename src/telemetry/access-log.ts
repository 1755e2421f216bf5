/** What the access log says of one exchange; see the field list in docs/. */
export interface AccessRecord {
  requestId: string;
  clientIp: string;
  method: string;
  host: string;
  path: string;
  protocol: string;
  status: number;
  reason: string;
  requestBytes: number;
  responseBytes: number;
  durationMs: number;
  route: string;
  upstream: string;
  endpoint: string;
  upstreamStatus: number;
  upstreamMs: number;
  attempts: number;
  userAgent: string;
  referer: string;
  traceId: string;
  tlsVersion: string;
  sni: string;
}
