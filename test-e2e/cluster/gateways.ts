/** The gateway that the cases of a file ask. */
import type { Lifetime } from '../../test/gateway/lifetime.ts';
import type { Cluster } from './cluster.ts';
import { Gateway, type GatewayAddress } from './gateway.ts';
import { Balancer } from './tcp-proxy.ts';

export interface GatewaysOptions {
  /** The only ones that the gateway looks at, so that files do not see each other's objects. */
  readonly namespaces: readonly string[];
  /** @default 2 */
  readonly replicas?: number;
  /** More flags of `serve`. */
  readonly args?: readonly string[];
}

/**
 * Replicas of the file's own behind a balancer; or, where the environment says so (`TIDEGATE_GATEWAY=HTTP-PORT,HTTPS-PORT`
 * on loopback), the one that is installed in the cluster.
 */
export async function openGateway(lifetime: Lifetime, cluster: Cluster, options: GatewaysOptions): Promise<GatewayAddress> {
  const [http, https] = (process.env.TIDEGATE_GATEWAY ?? '').split(',').map(Number);
  if (http !== undefined && https !== undefined) return { host: '127.0.0.1', http, https };
  const replicas = await Promise.all(Array.from({ length: options.replicas ?? 2 }, () => startReplica(lifetime, cluster, options)));
  return Balancer.start(lifetime, replicas);
}

/** One replica as a user would start it outside of the cluster; leaders are elected in the first of the namespaces. */
export async function startReplica(lifetime: Lifetime, cluster: Cluster, options: GatewaysOptions): Promise<Gateway> {
  const { namespaces, args = [] } = options;
  return Gateway.start(lifetime, {
    args: [
      '--kubeconfig',
      cluster.kubeconfig,
      ...namespaces.flatMap((namespace) => ['--watch-namespace', namespace]),
      '--workers',
      '2',
      '--drain-delay',
      '200ms',
      ...args,
    ],
    environment: { POD_NAMESPACE: namespaces[0] },
  });
}
