/** Endpoints of upstreams, from EndpointSlices (and from externalName, where that is allowed). */

import { forbiddenAddress } from '../exchange/forbidden-address.ts';
import type { EndpointSlice } from '../resources/endpoint-slice.ts';
import type { Problem } from '../resources/resource-set.ts';
import type { Service } from '../resources/service.ts';
import type { Endpoint, Upstream } from '../snapshot/upstream.ts';
import { addressKey, isApiServer } from './addresses.ts';
import type { Finding } from './issues.ts';
import { compareText } from './order.ts';
import { externalNameRefusal, type ServiceOptions } from './services.ts';
import { SERVICE_LABEL, type SliceEntry } from './slice-index.ts';

type SliceEndpoint = EndpointSlice['endpoints'][number];

/**
 * The endpoints of one upstream: those of all slices of its Service whose port has the Service port's name. An address
 * that is there twice counts once, ready where any slice says so; an address that is neither ready nor serving is left out.
 *
 * @param service undefined when the Service has gone meanwhile
 * @param slices by name, so that of equal duplicates always the same one is kept
 * @param apiServer as `ResourceSet.apiServer` has it
 * @returns sorted by address, then port
 */
export function endpointsOf(
  upstream: Upstream,
  service: Service | undefined,
  slices: readonly SliceEntry[],
  options: ServiceOptions,
  apiServer: readonly string[],
): Endpoint[] {
  // Judged when it was named; a name still, which the publisher resolves, and judges again.
  if (upstream.urlHost !== undefined) return [{ address: upstream.urlHost, port: upstream.port, state: 'Ready' }];
  if (service === undefined) return [];
  if (service.spec.type === 'ExternalName') {
    const address = service.spec.externalName;
    if (address === undefined || externalNameRefusal(service, options, apiServer) !== undefined) return [];
    // A name still: the publisher resolves it, and judges where it leads.
    return [{ address: address.toLowerCase(), port: upstream.port, state: 'Ready' }];
  }
  const portName = portNameOf(upstream, service);
  if (portName === undefined) return [];
  const found = new Map<string, Endpoint>();
  for (const { object: slice } of slices) {
    if (slice === undefined || slice.addressType === 'FQDN') continue;
    const port = slicePort(slice, portName);
    if (port === undefined) continue;
    for (const one of slice.endpoints) {
      const state = stateOf(one);
      if (state === undefined) continue;
      for (const address of one.addresses) {
        if (forbiddenAddress(address, options.allowLoopbackEndpoints) !== undefined || isApiServer(apiServer, address, port)) continue;
        const key = `${addressKey(address)} ${port}`;
        const other = found.get(key);
        if (other === undefined || (other.state === 'Terminating' && state === 'Ready')) found.set(key, makeEndpoint(address.toLowerCase(), port, state, one));
      }
    }
  }
  return [...found.values()].sort((one, other) => compareText(one.address, other.address) || one.port - other.port);
}

/** What is wrong with the slices of a Service that is in use. @param upstreams those of this Service */
export function sliceFindings(
  upstreams: readonly Upstream[],
  service: Service | undefined,
  slices: readonly SliceEntry[],
  options: ServiceOptions,
  apiServer: readonly string[],
): Finding[] {
  const findings = slices.flatMap((entry) =>
    entry.object === undefined ? [] : addressProblems(entry.object, options, apiServer).map((problem) => ({ entry, problem })),
  );
  // A Service without pods has a slice without endpoints, and without ports.
  const first = slices.find(({ object }) => object !== undefined && object.endpoints.length > 0);
  if (service === undefined || service.spec.type === 'ExternalName' || first === undefined) return findings;
  for (const upstream of upstreams) {
    const portName = portNameOf(upstream, service);
    if (portName === undefined || slices.some(({ object }) => object !== undefined && slicePort(object, portName) !== undefined)) continue;
    findings.push({ entry: first, problem: portMissing(upstream, portName) });
  }
  return findings;
}

/** A slice that belongs to no Service. */
export function strayFindings(slices: readonly SliceEntry[]): Finding[] {
  return slices.map((entry) => ({
    entry,
    problem: {
      severity: 'warning',
      reason: 'Invalid',
      field: 'metadata.labels',
      message: `the label ${SERVICE_LABEL} is missing: no Service uses this EndpointSlice`,
      hint: `write ${SERVICE_LABEL}: and the Service's name`,
    },
  }));
}

function portNameOf(upstream: Upstream, service: Service): string | undefined {
  return service.spec.ports.find((one) => one.port === upstream.port && one.protocol === 'TCP')?.name;
}

/** A port without a number means "every port", which tells nobody where to connect. */
function slicePort(slice: EndpointSlice, name: string): number | undefined {
  return slice.ports.find((port) => port.name === name && port.protocol === 'TCP')?.port;
}

/** A terminating endpoint is never Ready, also where `publishNotReadyAddresses` calls it so: new work goes elsewhere while it can. */
function stateOf({ conditions }: SliceEndpoint): Endpoint['state'] | undefined {
  if (conditions.terminating) return conditions.serving ? 'Terminating' : undefined;
  return conditions.ready ? 'Ready' : undefined;
}

function makeEndpoint(address: string, port: number, state: Endpoint['state'], { zone, hints }: SliceEndpoint): Endpoint {
  return {
    address,
    port,
    state,
    ...(zone === undefined ? {} : { zone }),
    ...(hints === undefined || hints.forZones.length === 0 ? {} : { forZones: hints.forZones.map(({ name }) => name) }),
  };
}

function addressProblems(slice: EndpointSlice, options: ServiceOptions, apiServer: readonly string[]): Problem[] {
  if (slice.addressType === 'FQDN') {
    return [
      {
        severity: 'error',
        reason: 'UnsupportedValue',
        field: 'addressType',
        message: 'addressType FQDN is refused: none of these endpoints is used',
        hint: 'list IPv4 or IPv6 addresses, or use a Service of type ExternalName',
      },
    ];
  }
  const problems: Problem[] = [];
  for (const [index, { addresses }] of slice.endpoints.entries()) {
    for (const [place, address] of addresses.entries()) {
      const kind =
        forbiddenAddress(address, options.allowLoopbackEndpoints) ??
        (slice.ports.some(({ port }) => port !== undefined && isApiServer(apiServer, address, port)) ? 'the API server' : undefined);
      if (kind === undefined) continue;
      problems.push({
        severity: 'error',
        reason: 'RefNotPermitted',
        field: `endpoints[${index}].addresses[${place}]`,
        message: `${address} is ${kind}, which no endpoint may have`,
        hint: "write the backend's own address",
      });
    }
  }
  return problems;
}

function portMissing({ namespace, service, port }: Upstream, name: string): Problem {
  const what = `port ${port} of Service ${namespace}/${service}`;
  return {
    severity: 'warning',
    reason: 'BackendNotFound',
    field: 'ports',
    message:
      name === ''
        ? `no EndpointSlice has a port without a name, as ${what} needs`
        : `no EndpointSlice has a port named ${JSON.stringify(name)}, as ${what} needs`,
    hint: 'ports of EndpointSlices bear the name of the Service port, and their number is where the endpoints listen',
  };
}
