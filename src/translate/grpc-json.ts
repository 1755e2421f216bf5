import type { ApiRoute, ApiRouteRule } from '../resources/api-route.ts';
import type { WrittenGrpcJson } from '../resources/grpc-json.ts';
import type { Entry, Problem } from '../resources/resource-set.ts';
import { ROUTE_TIMEOUTS } from '../snapshot/defaults.ts';
import type { GrpcJson } from '../snapshot/grpc-json.ts';
import { DescriptorFault, readTranscoding } from '../transcoding/bindings.ts';
import { resolveRef } from './api-route-recovery.ts';
import type { RouteContext } from './routes.ts';

/** @param field path of the filter in the object */
export function translateGrpcJson(
  entry: Entry<ApiRoute>,
  { backendRef, descriptorSetRef, services, requestHeaders, responseHeaders, timeout, retry }: WrittenGrpcJson,
  timeouts: ApiRouteRule['timeouts'],
  field: string,
  context: RouteContext,
): GrpcJson {
  const upstream = resolveRef(entry, backendRef, `${field}.backendRef`, context);
  if (upstream !== undefined && context.upstreams.used.get(upstream)?.protocol === 'HTTP1') {
    context.issues.add(entry, 'told', {
      severity: 'warning',
      reason: 'UnsupportedValue',
      field: `${field}.backendRef.port`,
      message: 'gRPC needs HTTP/2, and requests go to that port by HTTP/1.1',
      hint: "set the port's appProtocol to kubernetes.io/h2c, or a BackendPolicy's protocol to H2C",
    });
  }
  const descriptors = descriptorsOf(entry, descriptorSetRef, services, field, context);
  const longest = timeouts.request || ROUTE_TIMEOUTS.request;
  return {
    target: {
      ...(upstream === undefined ? {} : { upstream }),
      timeout: Math.min(timeout ?? longest, longest),
      ...(retry === undefined ? {} : { retry }),
    },
    ...(descriptors === undefined ? {} : { descriptors }),
    services,
    ...(requestHeaders.length === 0 ? {} : { requestHeaders }),
    ...(responseHeaders.length === 0 ? {} : { responseHeaders }),
  };
}

function descriptorsOf(
  entry: Entry<ApiRoute>,
  { name, key }: WrittenGrpcJson['descriptorSetRef'],
  services: readonly string[],
  field: string,
  { configMaps, issues }: RouteContext,
): string | undefined {
  const tell = (problem: Pick<Problem, 'severity' | 'field' | 'message' | 'hint'>): undefined => {
    issues.add(entry, 'ResolvedRefs', { reason: 'Invalid', ...problem });
    return undefined;
  };
  const id = `${entry.namespace}/${name}`;
  const at = `${field}.descriptorSetRef`;
  const configMap = configMaps.get(id)?.object;
  if (configMap === undefined) {
    return tell({ severity: 'warning', field: `${at}.name`, message: `ConfigMap ${id} does not exist, so requests are answered with 500`, hint: 'create it' });
  }
  const text = Object.hasOwn(configMap.binaryData ?? {}, key) ? configMap.binaryData?.[key] : undefined;
  if (text === undefined) {
    const message = `ConfigMap ${id} has no ${key} in binaryData, so requests are answered with 500`;
    return tell({ severity: 'error', field: `${at}.key`, message, hint: 'make it with kubectl create configmap --from-file' });
  }
  try {
    readTranscoding(Buffer.from(text, 'base64'), services);
    return text;
  } catch (error) {
    if (!(error instanceof DescriptorFault)) throw error;
    return tell({ severity: 'error', field: at, message: `in ConfigMap ${id}, ${error.message}; requests are answered with 500`, hint: error.hint });
  }
}
