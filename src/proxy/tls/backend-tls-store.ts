import { isIP } from 'node:net';
import { createSecureContext, type SecureContext } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import type { Upstream, UpstreamKey, UpstreamTls } from '../../snapshot/upstream.ts';
import { secureContextOptions } from '../../wire/secure-context.ts';
import type { ClientTls, SessionSlot } from '../../wire/wire.ts';
import type { KeyPair } from './certificate-material.ts';

type Log = (level: 'warn', message: string, fields: Readonly<Record<string, unknown>>) => void;

interface Kept {
  readonly tls: UpstreamTls;
  readonly secureContext: SecureContext;
  /** By address and port. */
  readonly sessions: Map<string, SessionSlot>;
}

/** Endpoints whose sessions are kept; addresses come and go. */
const MOST_SESSIONS = 1000;

/** Without ALPN of `http/1.1` a server that has both protocols might choose the other one. */
const HTTP1_PROTOCOLS = ['http/1.1'];
const HTTP2_PROTOCOLS = ['h2'];

/** One worker's TLS towards backends: a context for each upstream, made when it is first needed, and the sessions with its endpoints. */
export class BackendTlsStore {
  readonly #log: Log;
  readonly #upstreams = new Map<UpstreamKey, Kept>();
  #certificates: ReadonlyMap<string, KeyPair> = new Map();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Certificates that upstreams may name. To be told before the upstreams that name new ones. */
  know(certificates: readonly KeyPair[]): void {
    this.#certificates = new Map(certificates.map((certificate) => [certificate.id, certificate]));
  }

  forget(upstreams: readonly UpstreamKey[]): void {
    for (const key of upstreams) this.#upstreams.delete(key);
  }

  /** @returns undefined for an upstream without TLS */
  of(upstream: Upstream, address: string, port: number): ClientTls | undefined {
    const { tls, protocol } = upstream;
    if (tls === undefined) return undefined;
    let kept = this.#upstreams.get(upstream.key);
    if (kept === undefined || (kept.tls !== tls && !isDeepStrictEqual(kept.tls, tls))) {
      kept = { tls, secureContext: this.#context(upstream.key, tls), sessions: new Map() };
      this.#upstreams.set(upstream.key, kept);
    }
    const place = `${address} ${port}`;
    let sessions = kept.sessions.get(place);
    if (sessions === undefined) {
      if (kept.sessions.size >= MOST_SESSIONS) kept.sessions.clear();
      sessions = { session: undefined, until: 0 };
      kept.sessions.set(place, sessions);
    }
    const overHttp2 = protocol === 'HTTP2';
    return {
      secureContext: kept.secureContext,
      serverName: isIP(tls.hostname) === 0 ? tls.hostname : '',
      verifyName: tls.verify ? tls.hostname : undefined,
      alpnProtocols: overHttp2 ? HTTP2_PROTOCOLS : HTTP1_PROTOCOLS,
      requireAlpn: overHttp2,
      sessions,
    };
  }

  #context(upstream: UpstreamKey, { wellKnownAuthorities, authorities, clientCertificate }: UpstreamTls): SecureContext {
    const pair = clientCertificate && this.#certificates.get(clientCertificate.id);
    const own = pair === undefined ? {} : { cert: pair.chain, key: pair.key };
    try {
      const context = createSecureContext({
        ...secureContextOptions,
        ...own,
        // None at all are Node's own: the well-known ones, which all contexts share.
        ...(wellKnownAuthorities ? {} : { ca: [...authorities] }),
      });
      if (wellKnownAuthorities) for (const authority of authorities) addAuthority(context, authority);
      return context;
    } catch (error) {
      this.#log('warn', 'TLS to an upstream can not be used', { upstream, error: error instanceof Error ? error.message : String(error) });
      // Nothing verifies.
      return createSecureContext({ ...secureContextOptions, ca: [] });
    }
  }
}

/** Beside the well-known ones; `ca` would take their place. */
function addAuthority(context: SecureContext, authority: string): void {
  (context.context as { addCACert(pem: string): void }).addCACert(authority);
}
