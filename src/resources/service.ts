/** Service: its ports, by which routes reach EndpointSlices, and ExternalName. */
import { z } from 'zod';
import { dnsLabel, dnsLabelFlaw, oneOf, portNameFlaw, portNumber, text } from './fields.ts';
import { namespacedMetadata, unused } from './metadata.ts';
import { type Flaw, flaws, strictObject } from './strict-object.ts';

export const protocol = oneOf(['TCP', 'UDP', 'SCTP']);

const targetPort = z.union([z.number(), z.string()]).superRefine(
  flaws((value) => {
    if (typeof value === 'string') return portNameFlaw(value);
    if (Number.isInteger(value) && value >= 1 && value <= 65535) return undefined;
    return { message: `${value} is not a port`, hint: 'ports are whole numbers from 1 to 65535' };
  }),
);

const servicePort = strictObject({
  name: text((value) => (value === '' ? undefined : dnsLabelFlaw(value))).default(''),
  protocol: protocol.default('TCP'),
  appProtocol: z.string().exactOptional(),
  port: portNumber,
  /** Number, or the name of a container port; absent: the same as `port`. */
  targetPort: targetPort.exactOptional(),
  nodePort: unused,
});

const spec = strictObject({
  type: oneOf(['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName']).default('ClusterIP'),
  clusterIP: z.string().exactOptional(),
  externalName: z.string().exactOptional(),
  ports: z.array(servicePort).default([]),
  allocateLoadBalancerNodePorts: unused,
  clusterIPs: unused,
  externalIPs: unused,
  externalTrafficPolicy: unused,
  healthCheckNodePort: unused,
  internalTrafficPolicy: unused,
  ipFamilies: unused,
  ipFamilyPolicy: unused,
  loadBalancerClass: unused,
  loadBalancerIP: unused,
  loadBalancerSourceRanges: unused,
  publishNotReadyAddresses: unused,
  selector: unused,
  sessionAffinity: unused,
  sessionAffinityConfig: unused,
  trafficDistribution: unused,
}).superRefine(
  flaws((value) => {
    const found: Flaw[] = [];
    if (value.type === 'ExternalName' && !value.externalName) {
      found.push({ message: 'a Service of type ExternalName needs externalName', hint: 'write the DNS name of the backend', path: ['externalName'] });
    }
    if (value.type !== 'ExternalName' && value.clusterIP !== 'None' && value.ports.length === 0) {
      found.push({ message: 'the Service has no ports', hint: 'list at least one, as { port: 80 }', path: ['ports'] });
    }
    const names = new Set<string>();
    const numbers = new Set<string>();
    for (const [index, port] of value.ports.entries()) {
      if (port.name === '' && value.ports.length > 1) {
        found.push({ message: 'the port has no name', hint: 'name each port of a Service that has several', path: ['ports', index, 'name'] });
      } else if (names.has(port.name)) {
        found.push({ message: `the port name "${port.name}" is there twice`, hint: 'give each port a name of its own', path: ['ports', index, 'name'] });
      }
      names.add(port.name);
      const number = `${port.port}/${port.protocol}`;
      if (numbers.has(number)) found.push({ message: `port ${number} is there twice`, hint: 'list each port once', path: ['ports', index, 'port'] });
      numbers.add(number);
    }
    return found;
  }),
);

export const serviceSchema = strictObject({
  apiVersion: z.literal('v1'),
  kind: z.literal('Service'),
  metadata: namespacedMetadata(dnsLabel),
  spec,
  status: unused,
});

export type Service = z.output<typeof serviceSchema>;
