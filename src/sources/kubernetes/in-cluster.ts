/**
 * In a pod: the files of its ServiceAccount. They are read here, not by @kubernetes/client-node, since all of that library
 * comes with its configuration: 90 MB of memory and a second or two of start in every pod, for two files.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClusterAccess, Credentials } from './cluster-access.ts';
import { CredentialsError, oneLine } from './errors.ts';

/** Where kubelet mounts them. */
export const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** How long (ms) the files count as read. kubelet renews a token at 80 % of its life, so that the old one still serves for minutes. */
const FRESH = 10_000;

export interface InClusterOptions {
  /** KUBERNETES_SERVICE_HOST: name or address. */
  readonly host: string;
  /** KUBERNETES_SERVICE_PORT. */
  readonly port: string;
  /** Folder with `token`, `ca.crt` and `namespace`. */
  readonly folder?: string;
  /** Milliseconds on a clock that only goes forward. */
  readonly now?: () => number;
}

/** @throws (rejects) CredentialsError when the files are not there */
export async function inCluster(options: InClusterOptions): Promise<ClusterAccess> {
  const { host, port, folder = SERVICE_ACCOUNT, now = () => performance.now() } = options;
  const server = `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
  if (!URL.canParse(server)) throw new CredentialsError(`KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT make no address: ${server}`);
  let known: { readonly credentials: Credentials; readonly until: number } | undefined;
  const credentials = async (): Promise<Credentials> => {
    if (known !== undefined && now() < known.until) return known.credentials;
    const [token, ca] = await Promise.all([read(folder, 'token'), read(folder, 'ca.crt')]);
    known = { credentials: { headers: { authorization: `Bearer ${token}` }, tls: { ca } }, until: now() + FRESH };
    return known.credentials;
  };
  await credentials();
  const namespace = await read(folder, 'namespace').catch(() => 'default');
  return {
    server,
    namespace,
    credentials,
    forget: () => {
      known = undefined;
    },
  };
}

async function read(folder: string, name: string): Promise<string> {
  const path = join(folder, name);
  let text: string;
  try {
    text = (await readFile(path, 'utf8')).trim();
  } catch (error) {
    throw new CredentialsError(`the pod's ServiceAccount: ${oneLine(error)}`);
  }
  if (text === '') throw new CredentialsError(`the pod's ServiceAccount: ${path} is empty`);
  return text;
}
