/** The part of a kubeconfig that the cases need: where the API server is, and who asks. */
import { readFileSync } from 'node:fs';
import { load } from 'js-yaml';

export interface Connection {
  readonly host: string;
  readonly port: number;
  /** PEM. */
  readonly ca: string | undefined;
  /** PEM, of a client certificate; kind has one. */
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly token: string | undefined;
}

interface Named {
  readonly name: string;
}

interface KubeConfig {
  readonly 'current-context': string;
  readonly contexts: readonly (Named & { readonly context: { readonly cluster: string; readonly user: string } })[];
  readonly clusters: readonly (Named & { readonly cluster: { readonly server: string; readonly 'certificate-authority-data'?: string } })[];
  readonly users: readonly (Named & {
    readonly user: { readonly token?: string; readonly 'client-certificate-data'?: string; readonly 'client-key-data'?: string };
  })[];
}

/** @param file a kubeconfig that holds its certificates and tokens itself, as those of kind do */
export function readKubeconfig(file: string): Connection {
  const config = load(readFileSync(file, 'utf8')) as KubeConfig;
  const named = <T extends Named>(list: readonly T[], name: string): T => {
    const found = list.find((item) => item.name === name);
    if (found === undefined) throw new Error(`${file} names ${name}, and has none`);
    return found;
  };
  const { context } = named(config.contexts, config['current-context']);
  const { cluster } = named(config.clusters, context.cluster);
  const { user } = named(config.users, context.user);
  const decoded = (base64: string | undefined): string | undefined => (base64 === undefined ? undefined : Buffer.from(base64, 'base64').toString());
  const { hostname, port } = new URL(cluster.server);
  return {
    host: hostname,
    port: Number(port === '' ? 443 : port),
    ca: decoded(cluster['certificate-authority-data']),
    cert: decoded(user['client-certificate-data']),
    key: decoded(user['client-key-data']),
    token: user.token,
  };
}
