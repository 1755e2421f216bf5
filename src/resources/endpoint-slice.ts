/** discovery.k8s.io/v1 EndpointSlice. */
import { isIPv4, isIPv6 } from 'node:net';
import { z } from 'zod';
import { hostnameFlaw, oneOf, portNumber, quote } from './fields.ts';
import { namespacedMetadata, unused } from './metadata.ts';
import { protocol } from './service.ts';
import { type Flaw, flaws, strictObject } from './strict-object.ts';

const forZone = strictObject({ name: z.string() });

const endpoint = strictObject({
  addresses: z.array(z.string()).min(1),
  /** Absent: ready (unknown counts as ready); `serving` follows `ready`; not terminating. */
  conditions: strictObject({
    ready: z.boolean().default(true),
    serving: z.boolean().exactOptional(),
    terminating: z.boolean().default(false),
  })
    .prefault({})
    .transform((value) => ({ ready: value.ready, serving: value.serving ?? value.ready, terminating: value.terminating })),
  zone: z.string().exactOptional(),
  hints: strictObject({ forZones: z.array(forZone).default([]), forNodes: unused }).exactOptional(),
  hostname: unused,
  nodeName: unused,
  targetRef: unused,
  deprecatedTopology: unused,
});

const endpointPort = strictObject({
  /** Matches the Service port's name; empty where that has none. */
  name: z.string().default(''),
  protocol: protocol.default('TCP'),
  /** Absent: every port. */
  port: portNumber.exactOptional(),
  appProtocol: z.string().exactOptional(),
});

export const endpointSliceSchema = strictObject({
  apiVersion: z.literal('discovery.k8s.io/v1'),
  kind: z.literal('EndpointSlice'),
  metadata: namespacedMetadata(),
  addressType: oneOf(['IPv4', 'IPv6', 'FQDN']),
  endpoints: z.array(endpoint).default([]),
  ports: z.array(endpointPort).default([]),
}).superRefine(
  flaws((slice) => {
    const found: Flaw[] = [];
    const names = new Set<string>();
    for (const [index, port] of slice.ports.entries()) {
      if (names.has(port.name))
        found.push({ message: `the port name ${quote(port.name)} is there twice`, hint: 'give each port a name of its own', path: ['ports', index, 'name'] });
      names.add(port.name);
    }
    for (const [index, one] of slice.endpoints.entries()) {
      for (const [place, address] of one.addresses.entries()) {
        const flaw = addressFlaw(slice.addressType, address);
        if (flaw !== undefined) found.push({ ...flaw, path: ['endpoints', index, 'addresses', place] });
      }
    }
    return found;
  }),
);

function addressFlaw(type: 'IPv4' | 'IPv6' | 'FQDN', address: string): Flaw | undefined {
  if (type === 'FQDN') return hostnameFlaw(address, { wildcard: false });
  const good = type === 'IPv4' ? isIPv4(address) : isIPv6(address) && !address.includes('%');
  return good
    ? undefined
    : { message: `${quote(address)} is not an ${type} address`, hint: `write one as ${type === 'IPv4' ? '10.0.0.1' : '2001:db8::1'}, or change addressType` };
}

export type EndpointSlice = z.output<typeof endpointSliceSchema>;
