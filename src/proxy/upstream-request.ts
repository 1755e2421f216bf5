import { AnswerRefusal } from '../exchange/answer-refusal.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { FieldKind, maskOf } from '../exchange/field-names.ts';
import type { Fields } from '../exchange/fields.ts';
import type { Peer } from '../exchange/peer.ts';
import type { UpstreamRequest } from '../exchange/streams.ts';
import { expressionReply } from '../policies/expression-reply.ts';
import type { HeaderEdits } from '../policies/header-edits.ts';
import type { Upstream } from '../snapshot/upstream.ts';
import type { PickedBackend } from '../upstream/backend-picker.ts';
import { writeProxyHeader } from '../wire/proxy-header.ts';
import type { CompiledBackend, CompiledRoute } from './compiled-route.ts';

const HOST = maskOf(FieldKind.Host);

/** A request as one backendRef is to have it; for any number of tries. */
export interface Addressed {
  readonly backend: PickedBackend;
  readonly compiled: CompiledBackend | undefined;
  readonly request: UpstreamRequest;
}

/** The Host that every backend gets; once an exchange. @param upstream where it goes first */
export function settleHost(exchange: Exchange, upstream: Upstream): void {
  const fields = exchange.requestFields;
  if (exchange.upstreamHost === '' && !fields.mayHave(HOST)) exchange.upstreamHost = authorityOf(upstream);
  if (exchange.upstreamHost !== exchange.authority || !fields.mayHave(HOST)) fields.set('Host', exchange.upstreamHost);
}

/** Makes the request as that backendRef has it. */
export function addressTo(exchange: Exchange, route: CompiledRoute, backend: PickedBackend): Addressed {
  const { backends, recovery } = route;
  const compiled = backends[backend.index];
  let fields = exchange.requestFields;
  if (compiled?.requestEdits !== undefined) {
    // Another ref may still need them as they are, or the fallback.
    if (backends.length > 1 || recovery?.fallback?.backend !== undefined) fields = fields.clone();
    edit(compiled.requestEdits, fields, exchange);
  }
  const target = exchange.upstreamPath + exchange.upstreamQuery;
  const version = backend.upstream?.upstream.proxyProtocol;
  const preamble = version === undefined ? undefined : proxyHeader(exchange.peer, version);
  return { backend, compiled, request: { method: exchange.method, target, fields, body: exchange.requestLength, upgrade: exchange.upgrade, preamble } };
}

/** @throws AnswerRefusal where an expression fails */
function edit(edits: HeaderEdits, fields: Fields, exchange: Exchange): void {
  try {
    edits.apply(fields, exchange);
  } catch (error) {
    throw new AnswerRefusal(expressionReply(error));
  }
}

/** That of the client's connection; the same buffer for all its requests. */
function proxyHeader(peer: Peer, version: 'V1' | 'V2'): Buffer {
  peer.proxyHeaders ??= {};
  peer.proxyHeaders[version] ??= writeProxyHeader(version, {
    ...{ sourceAddress: peer.remoteAddress, sourcePort: peer.remotePort },
    ...{ destinationAddress: peer.localAddress ?? '', destinationPort: peer.localPort },
  });
  return peer.proxyHeaders[version];
}

/**
 * What the backend gets as Host where the client has named none, as HTTP/1.0 allows (RFC 9112 section 3.3 leaves the choice
 * to us): the Service's name within the cluster. An empty Host would be valid, but servers are at odds about it.
 */
function authorityOf({ service, namespace, port }: Upstream): string {
  return `${service}.${namespace}${port === 80 ? '' : `:${port}`}`;
}
