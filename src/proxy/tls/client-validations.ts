import type { Exchange, Reply } from '../../exchange/exchange.ts';
import { HostTable, type LevelChange } from '../../router/host-table.ts';
import type { Route } from '../../snapshot/route.ts';
import type { ClientValidation, SnapshotClientValidation } from '../../snapshot/tls.ts';
import type { ClientCertificate } from '../../wire/client-certificate.ts';
import type { TlsInfo } from '../../wire/wire.ts';

/** Nobody is asked on the host. */
const OPEN = Symbol('open');

type Level = ClientValidation | typeof OPEN;

/** The handshake asked for another certificate than the host does, or for none: on a new connection it may go well. */
const misdirected: Reply = {
  status: 421,
  reason: 'misdirected_request',
  detail: 'The connection was made for another host, and this one asks for a client certificate of its own.',
};
const onPlainHttp: Reply = { status: 403, reason: 'client_certificate_plain_http', detail: 'This host asks for a client certificate: use HTTPS.' };
const notShown: Reply = { status: 403, reason: 'client_certificate_required', detail: 'This host asks for a client certificate.' };
const otherValidation: Reply = {
  status: 403,
  reason: 'client_certificate_other_host',
  detail: 'The route asks for a client certificate in a way that this host does not.',
};

/** Words for what OpenSSL calls it; all else is `invalid`. */
const WORDS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'expired',
  CERT_NOT_YET_VALID: 'not_yet_valid',
  CERT_REVOKED: 'revoked',
  UNABLE_TO_GET_CRL: 'no_revocation_list',
  CRL_HAS_EXPIRED: 'no_revocation_list',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'untrusted',
  SELF_SIGNED_CERT_IN_CHAIN: 'untrusted',
  UNABLE_TO_GET_ISSUER_CERT: 'untrusted',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'untrusted',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'untrusted',
};

function notGood({ isShown, failure }: ClientCertificate): Reply {
  if (!isShown) return notShown;
  // What was good at first has expired since.
  const word = failure === undefined ? 'expired' : (WORDS[failure] ?? 'invalid');
  return { status: 403, reason: `client_certificate_${word}`, detail: 'The client certificate is not good for this host.' };
}

/** Which hosts ask clients for a certificate, and who is served there. */
export class ClientValidations {
  static readonly NONE = new ClientValidations(HostTable.empty(), true);
  /** No host asks for one. */
  readonly isEmpty: boolean;
  readonly #table: HostTable<Level>;

  private constructor(table: HostTable<Level>, isEmpty: boolean) {
    this.#table = table;
    this.isEmpty = isEmpty;
  }

  static compile(snapshot: SnapshotClientValidation | undefined): ClientValidations {
    if (snapshot === undefined) return ClientValidations.NONE;
    const { policies, hosts } = snapshot;
    const levels = hosts.map(({ host, validation }): LevelChange<Level> => ({ host, level: (validation && policies.get(validation)) || OPEN }));
    const steps = HostTable.empty<Level>().changed(levels);
    let step = steps.next();
    while (step.done !== true) step = steps.next();
    return new ClientValidations(step.value, false);
  }

  /** That of the most specific host: an exact one, else the longest wildcard. @param host lower-case, without the root's dot; may be empty */
  find(host: string): ClientValidation | undefined {
    const level = this.#table.levels(host)[0];
    return level === OPEN ? undefined : level;
  }

  /** Whose handshake is no longer what its server name asks for. @param before what was in force until now @returns as long as both stay */
  outdated(before: ClientValidations): (serverName: string) => boolean {
    const known = new Map<string, boolean>();
    return (serverName) => {
      let isOutdated = known.get(serverName);
      if (isOutdated === undefined) {
        const name = plainName(serverName);
        isOutdated = this.find(name)?.id !== before.find(name)?.id;
        known.set(serverName, isOutdated);
      }
      return isOutdated;
    };
  }

  /**
   * Whether a handshake has asked for what its server name asks for now. One that was under way while that changed has not, and there
   * is nobody whom the connection may serve.
   */
  fits({ serverName, clientCertificate }: TlsInfo): boolean {
    return this.isEmpty || this.find(plainName(serverName))?.id === clientCertificate?.validation;
  }

  /** Before the route is known. @returns why the request is not served on this connection */
  judge(exchange: Exchange): Reply | undefined {
    const { tls } = exchange;
    // For plain HTTP a route may have a redirect.
    if (tls === undefined) return undefined;
    const wanted = this.find(exchange.host);
    if (wanted !== this.find(plainName(tls.serverName))) return misdirected;
    if (wanted === undefined) return undefined;
    const certificate = tls.clientCertificate;
    // The host came to ask for one, or for another one, since the connection was made.
    if (certificate?.validation !== wanted.id) return misdirected;
    return wanted.mode === 'Request' || certificate.isGood(Date.now()) ? undefined : notGood(certificate);
  }

  /** After `judge`, when a redirect to HTTPS has had its turn. */
  judgeRoute({ host, tls }: Exchange, { clientValidation }: Route): Reply | undefined {
    const wanted = this.find(host);
    if (tls === undefined) return wanted === undefined && clientValidation === undefined ? undefined : onPlainHttp;
    return clientValidation === undefined || clientValidation === wanted?.id ? undefined : otherValidation;
  }
}

/** As hosts are compared. */
function plainName(serverName: string): string {
  const name = serverName.toLowerCase();
  return name.endsWith('.') ? name.slice(0, -1) : name;
}
