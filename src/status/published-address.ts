/** Where clients reach the gateway, for `status.loadBalancer` of Ingresses. */
import { isIP } from 'node:net';

export type PublishedAddress = { readonly ip: string } | { readonly hostname: string };

/** The parts of a Service that say so, as the API server sends it. */
export interface PublishedServiceObject {
  readonly spec?: {
    readonly type?: string;
    readonly clusterIP?: string;
    readonly clusterIPs?: readonly string[];
    readonly externalIPs?: readonly string[];
    readonly externalName?: string;
  };
  readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly { readonly ip?: string; readonly hostname?: string }[] } };
}

/** @param address an IP address or a host name */
export function publishedAddress(address: string): PublishedAddress {
  return isIP(address) === 0 ? { hostname: address } : { ip: address };
}

/**
 * What a Service of each type publishes, as ingress-nginx does it: the load balancer's addresses and external ones, else
 * external ones, else the cluster's own.
 * @returns empty while a load balancer has no address yet
 */
export function addressesOfService({ spec = {}, status }: PublishedServiceObject): readonly PublishedAddress[] {
  const external = (spec.externalIPs ?? []).map(publishedAddress);
  switch (spec.type) {
    case 'ExternalName':
      return spec.externalName === undefined || spec.externalName === '' ? [] : [publishedAddress(spec.externalName)];
    case 'LoadBalancer': {
      const given = (status?.loadBalancer?.ingress ?? []).flatMap(({ ip, hostname }): PublishedAddress[] => [
        ...(ip === undefined || ip === '' ? [] : [{ ip }]),
        ...(hostname === undefined || hostname === '' ? [] : [{ hostname }]),
      ]);
      return inOrder([...given, ...external]);
    }
    default: {
      if (external.length > 0) return inOrder(external);
      const own = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP]);
      return own.filter((ip) => ip !== '' && ip !== 'None').map((ip) => ({ ip }));
    }
  }
}

/** Whether both name the same addresses, in whatever order. */
export function sameAddresses(one: readonly PublishedAddress[], other: readonly PublishedAddress[]): boolean {
  return JSON.stringify(inOrder(one)) === JSON.stringify(inOrder(other));
}

function inOrder(addresses: readonly PublishedAddress[]): readonly PublishedAddress[] {
  const texts = new Map(addresses.map((address) => ['ip' in address ? address.ip : address.hostname, address]));
  return [...texts].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, address]) => address);
}
