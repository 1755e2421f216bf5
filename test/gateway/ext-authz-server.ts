/** A real server of Envoy's external authorization, on @grpc/grpc-js, which decides as the test says. */
import { join } from 'node:path';
import {
  loadPackageDefinition,
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceClientConstructor,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { endWith, type Lifetime } from './lifetime.ts';

const PROTO = join(import.meta.dirname, '../../src/policies/auth/external/testdata/ext-authz.proto');

export interface Check {
  readonly attributes: {
    readonly source: { readonly address: { readonly socket_address: { readonly address: string; readonly port_value: number } }; readonly principal: string };
    readonly request: {
      readonly http: Readonly<Record<'id' | 'method' | 'path' | 'host' | 'scheme' | 'protocol', string>> & {
        readonly headers: Readonly<Record<string, string>>;
        readonly size: number;
      };
    };
  };
}

/** What it answers: a CheckResponse, a number: a status of gRPC that is an error, undefined: nothing. */
export type Decide = (check: Check, metadata: Metadata) => object | number | undefined;

export class ExtAuthzServer {
  readonly checks: Check[] = [];
  decide: Decide;
  port = 0;
  readonly #server = new Server();

  private constructor(decide: Decide) {
    this.decide = decide;
    const loaded = loadPackageDefinition(loadSync(PROTO, { keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true }));
    const auth = ['envoy', 'service', 'auth', 'v3'].reduce((at, name) => at[name] as never, loaded as Record<string, never>);
    const { service } = auth.Authorization as unknown as ServiceClientConstructor;
    this.#server.addService(service, {
      Check: (call: ServerUnaryCall<Check, object>, answer: sendUnaryData<object>) => {
        this.checks.push(call.request);
        const decision = this.decide(call.request, call.metadata);
        if (typeof decision === 'number') answer({ code: decision, details: 'as the test says', metadata: new Metadata() });
        else if (decision !== undefined) answer(null, decision);
      },
    });
  }

  /** @param tls PEM of its certificate and key; absent: plain */
  static async start(lifetime: Lifetime, decide: Decide, tls?: { readonly cert: string; readonly key: string }): Promise<ExtAuthzServer> {
    const started = new ExtAuthzServer(decide);
    const credentials =
      tls === undefined
        ? ServerCredentials.createInsecure()
        : ServerCredentials.createSsl(null, [{ cert_chain: Buffer.from(tls.cert), private_key: Buffer.from(tls.key) }]);
    started.port = await new Promise<number>((resolve, reject) => {
      started.#server.bindAsync('127.0.0.1:0', credentials, (error, port) => (error === null ? resolve(port) : reject(error)));
    });
    endWith(lifetime, () => started.#server.forceShutdown());
    return started;
  }
}

export const ALLOWED = { status: { code: status.OK } };
