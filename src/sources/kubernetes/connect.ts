/** From what the command line says to a client of the API server. Imported only where there is one: with it come the libraries. */
import { ApiClient } from './api-client.ts';
import { inCluster } from './in-cluster.ts';
import { fromKubeconfig } from './kubeconfig.ts';

export type ClusterOptions =
  | { readonly kubeconfig: string }
  /** KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT, as they are in a pod. */
  | { readonly host: string; readonly port: string };

/**
 * Nothing is sent yet.
 * @throws (rejects) CredentialsError
 */
export async function connect(options: ClusterOptions): Promise<ApiClient> {
  return new ApiClient('kubeconfig' in options ? await fromKubeconfig(options.kubeconfig) : await inCluster(options));
}
