/** The gRPC interoperability cases, by the client and server of grpc-go, through the gateway. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { freePort } from '../../scripts/free-port.ts';
import { GatewayUnderTest } from '../gateway/gateway.ts';
import { wholeFile } from '../gateway/lifetime.ts';
import { apiRoute, service } from '../gateway/manifests.ts';
import { built, runForeign, startForeign } from './foreign-program.ts';
import { ServerCertificate } from './server-certificate.ts';

/**
 * Every case of the client that needs no identity provider of Google's, and that passes without a gateway: this server has
 * no load reports (orca) and no id of its own (pick_first_unary).
 */
const CASES = [
  'empty_unary',
  'large_unary',
  'client_streaming',
  'server_streaming',
  'ping_pong',
  'empty_stream',
  'timeout_on_sleeping_server',
  'cancel_after_begin',
  'cancel_after_first_response',
  'status_code_and_message',
  'special_status_message',
  'custom_metadata',
  'unimplemented_method',
  'unimplemented_service',
  'rpc_soak',
  'channel_soak',
] as const;

const certificate = new ServerCertificate('interop.test');
let gateway: GatewayUnderTest;

before(async () => {
  const port = await freePort();
  startForeign(wholeFile, built('grpc-interop-server'), ['--port', String(port)]);
  gateway = await GatewayUnderTest.start(wholeFile, {
    'all.yaml': `${certificate.secret('interop')}${service('interop', [port])}---
apiVersion: tidegate.dev/v1alpha1
kind: BackendPolicy
metadata: { name: interop, namespace: default }
spec: { targetRefs: [{ kind: Service, name: interop }], protocol: H2C }
${apiRoute('interop', '  hostnames: [interop.test]\n  tls: { secretName: interop }\n  rules: [{ backendRefs: [{ name: interop, port: 80 }] }]')}${apiRoute('plain', '  rules: [{ backendRefs: [{ name: interop, port: 80 }] }]')}`,
  });
});

for (const port of ['http', 'https'] as const) {
  for (const name of CASES) {
    test(`${name} on the ${port} port`, async () => {
      const secure = port === 'https' ? ['--use_tls', '--use_test_ca', '--ca_file', certificate.file, '--server_host_override', certificate.host] : [];
      const { code, output } = await runForeign(built('grpc-interop-client'), [
        ...['--server_host', '127.0.0.1', '--server_port', String(gateway[port]), '--test_case', name],
        ...['--soak_iterations', '20', '--soak_overall_timeout_seconds', '60', '--soak_per_iteration_max_acceptable_latency_ms', '60000'],
        ...secure,
      ]);
      assert.equal(code, 0, output);
    });
  }
}
