/** HAProxy as a proxy. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HOSTS, PATHS } from '../manifests.ts';
import { ISSUER, publicKeyPem } from '../tokens.ts';
import type { Command, Task } from './peer.ts';

export function haproxy(task: Task): Command {
  const { folder, certificate, setting } = task;
  writeFileSync(join(folder, 'tls.pem'), certificate.chain + certificate.key);
  writeFileSync(join(folder, 'routes.map'), routes());
  writeFileSync(join(folder, 'jwt.pem'), publicKeyPem);
  writeFileSync(join(folder, 'haproxy.cfg'), configuration(task));
  const log = setting.accessLog === true ? ` >${join(folder, 'access.log')}` : '';
  return { name: 'HAProxy', command: 'sh', args: ['-c', `exec haproxy -db -f ${join(folder, 'haproxy.cfg')}${log}`] };
}

function configuration({ folder, ports, backend, setting }: Task): string {
  const protocol = setting.backend === 'h2c' || setting.backend === 'grpc' ? ' proto h2' : '';
  const log =
    setting.accessLog === true
      ? `log stdout format raw local0 info
  log-format '{"time":"%[date,utime(%Y-%m-%dT%H:%M:%S)].%ms","clientIp":"%ci","method":"%HM","path":"%HPO","protocol":"%HV","status":%ST,"requestBytes":%U,"responseBytes":%B,"durationMs":%Tt,"upstream":"%b","endpoint":"%s","upstreamMs":%Tr,"tlsVersion":"%sslv"}'`
      : '';
  const route = setting.manyRoutes === true ? `use_backend %[base,map_beg(${folder}/routes.map,none)]` : 'default_backend backend';
  return `
global
  nbthread 1
  maxconn 4096
  tune.ssl.cachesize 100000
defaults
  mode http
  option forwardfor
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 60s
  timeout http-request 10s
frontend front
  bind 127.0.0.1:${ports.http} backlog 4096
  bind 127.0.0.1:${ports.https} backlog 4096 ssl crt ${folder}/tls.pem ssl-min-ver TLSv1.2 alpn h2,http/1.1
  ${log}
  ${setting.gateway === true ? gateway(folder) : ''}
  ${route}
backend backend
  server backend 127.0.0.1:${backend} pool-max-conn 64${protocol}
backend none
  http-request return status 404
`;
}

/** It verifies every token anew. */
function gateway(folder: string): string {
  return `stick-table type ip size 100k expire 10s store http_req_rate(1s)
  http-request set-var(txn.bearer) http_auth_bearer
  http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
  http-request deny deny_status 401 unless { var(txn.alg) -m str ES256 }
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_verify(txn.alg,"${folder}/jwt.pem") 1 }
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_payload_query('$.iss') -m str ${ISSUER} }
  http-request track-sc0 src
  http-request deny deny_status 429 if { sc_http_req_rate(0) gt 1000000 }
  http-request set-header X-Bench 1`;
}

function routes(): string {
  return HOSTS.flatMap((host) => PATHS.map((path) => `${host}${path} backend`)).join('\n');
}
