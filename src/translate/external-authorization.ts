/** AuthPolicy, externalAuthorization: whom the gateway asks. */
import type { ExternalAuthorizationFields } from '../resources/auth/external-authorization.ts';
import { objectKey } from '../resources/entry.ts';
import type { Entry, Problem } from '../resources/resource-set.ts';
import type { ExternalAuthorization } from '../snapshot/external-authorization.ts';
import type { UpstreamKey } from '../snapshot/upstream.ts';
import type { Issues } from './issues.ts';
import type { Upstreams } from './services.ts';

const FIELD = 'spec.externalAuthorization';

type Target = Pick<ExternalAuthorization, 'target' | 'upstream' | 'authority' | 'path' | 'query'>;

/** Where the reference can't be resolved, the policy is told, and every check fails. */
export function translateExternalAuthorization(
  entry: Entry<unknown>,
  spec: ExternalAuthorizationFields,
  upstreams: Upstreams,
  issues: Issues,
): ExternalAuthorization {
  const { protocol, timeout, requestHeaders, headersToBackend, failOpen } = spec;
  return { protocol, ...targetOf(entry, spec, upstreams, issues), timeout, requestHeaders, headersToBackend, failOpen };
}

function targetOf(entry: Entry<unknown>, { backendRef, url, protocol, path }: ExternalAuthorizationFields, upstreams: Upstreams, issues: Issues): Target {
  if (url !== undefined) {
    const parsed = new URL(url);
    const ownPath = path === undefined ? parsed.pathname + parsed.search : path;
    const upstream = upstreams.useUrl(entry, parsed, protocol === 'GRPC', `${FIELD}.url`);
    return { target: parsed.origin, ...(upstream === undefined ? {} : { upstream }), authority: parsed.host, ...splitPath(ownPath) };
  }
  const { name, namespace = entry.namespace, port } = backendRef as NonNullable<typeof backendRef>;
  const field = `${FIELD}.backendRef`;
  const fields = { namespace: `${field}.namespace`, name: `${field}.name`, port: `${field}.port` };
  let upstream = upstreams.resolve(entry, { namespace, name, port }, fields);
  if (protocol === 'GRPC' && upstream !== undefined && upstreams.used.get(upstream)?.protocol === 'HTTP1') {
    issues.add(entry, 'ResolvedRefs', notHttp2(entry, upstream, fields.port));
    upstream = undefined;
  }
  return { target: `Service ${namespace}/${name}:${port}`, ...(upstream === undefined ? {} : { upstream }), ...splitPath(path ?? '/') };
}

function splitPath(text: string): Pick<ExternalAuthorization, 'path' | 'query'> {
  const mark = text.indexOf('?');
  return mark < 0 ? { path: text, query: '' } : { path: text.slice(0, mark), query: text.slice(mark) };
}

/** gRPC is HTTP/2, and a port of which nothing is said speaks HTTP/1.1. */
function notHttp2(entry: Entry<unknown>, upstream: UpstreamKey, field: string): Problem {
  return {
    severity: 'error',
    reason: 'UnsupportedValue',
    field,
    message: `${upstream}, which AuthPolicy ${objectKey(entry)} asks by gRPC, is not known to speak HTTP/2: every check fails`,
    hint: 'write appProtocol: kubernetes.io/h2c (or grpcs) on the port of the Service',
  };
}
