/**
 * What ingress-nginx's annotations say of how backends are spoken to: `backend-protocol` and `proxy-ssl-*`. A Service port speaks what
 * it speaks, whichever Ingress leads there: so they hold for the port, where no BackendPolicy says otherwise.
 */
import { objectKey } from '../resources/entry.ts';
import { hostnameFlaw } from '../resources/fields.ts';
import type { Ingress, IngressBackend } from '../resources/ingress.ts';
import type { Entry } from '../resources/resource-set.ts';
import { AUTHORITIES_KEY } from '../resources/trust-anchors.ts';
import type { UpstreamProtocol } from '../snapshot/upstream.ts';
import { AnnotationValues, fieldOf } from './annotation-values.ts';
import { type BackendTlsSettings, PLAIN_TLS } from './backend-tls.ts';
import type { Certificates } from './certificates.ts';
import type { Issues } from './issues.ts';
import { compareAge } from './order.ts';
import type { Trust } from './trust.ts';

export const BACKEND_ANNOTATIONS: ReadonlySet<string> = new Set([
  'backend-protocol',
  'proxy-ssl-name',
  'proxy-ssl-secret',
  'proxy-ssl-server-name',
  'proxy-ssl-verify',
]);

const PROTOCOLS = ['HTTP', 'HTTPS', 'GRPC', 'GRPCS'] as const;

export interface AnnotatedBackend {
  readonly protocol: UpstreamProtocol;
  readonly tls?: BackendTlsSettings;
}

interface Claim extends AnnotatedBackend {
  readonly entry: Entry<Ingress>;
  readonly word: string;
}

type OwnIngress = { readonly entry: Entry<Ingress>; readonly ingress: Ingress };

export class AnnotatedBackends {
  /** By `namespace/service/port`, the port's number or its name. */
  readonly #claims = new Map<string, Claim>();

  /** @param ingresses that are ours */
  constructor(ingresses: Iterable<OwnIngress>, issues: Issues, trust: Trust, certificates: Certificates) {
    const annotated = [...ingresses].filter(({ entry, ingress }) => new AnnotationValues(entry, ingress, issues).text('backend-protocol') !== undefined);
    for (const { entry, ingress } of annotated.sort((one, other) => compareAge(one.entry, other.entry))) {
      const values = new AnnotationValues(entry, ingress, issues);
      const word = values.oneOf('backend-protocol', PROTOCOLS);
      if (word === undefined) continue;
      const secure = word === 'HTTPS' || word === 'GRPCS';
      const claim: Claim = {
        entry,
        word,
        protocol: word === 'GRPCS' ? 'HTTP2' : word === 'GRPC' ? 'H2C' : 'HTTP1',
        ...(secure ? { tls: tlsOf(entry, values, trust, certificates) } : {}),
      };
      let told = false;
      for (const place of placesOf(entry, ingress)) {
        const older = this.#claims.get(place);
        if (older === undefined) this.#claims.set(place, claim);
        if (older === undefined || older.entry === entry || older.word === word || told) continue;
        told = true;
        values.warn(
          'backend-protocol',
          `Ingress ${objectKey(older.entry)}, which is older, says ${older.word} of the same Service port, which holds`,
          'make both say the same',
        );
      }
    }
  }

  of(namespace: string, service: string, port: number, portName: string): AnnotatedBackend | undefined {
    if (this.#claims.size === 0) return undefined;
    const byNumber = this.#claims.get(`${namespace}/${service}/${port}`);
    return byNumber ?? (portName === '' ? undefined : this.#claims.get(`${namespace}/${service}/${portName}`));
  }
}

/** As ingress-nginx: what a backend shows is verified only where `proxy-ssl-verify` is "on". */
function tlsOf(entry: Entry<Ingress>, values: AnnotationValues, trust: Trust, certificates: Certificates): BackendTlsSettings {
  const written = values.oneOf('proxy-ssl-verify', ['on', 'off']);
  // A bad value is told, and must not leave the connection open to anybody.
  const verify = written === 'on' || (written === undefined && values.text('proxy-ssl-verify') !== undefined);
  if (!verify) {
    const hint = 'write proxy-ssl-verify: "on" with proxy-ssl-secret and proxy-ssl-name, or a BackendPolicy with tls';
    values.warn('backend-protocol', "the backend's certificate is not verified, as in ingress-nginx", hint);
  }
  const hostname = values.checked('proxy-ssl-name', (value) => hostnameFlaw(value, { wildcard: false }));
  const secret = ownSecret(entry, values);
  const named = { ...PLAIN_TLS, verify, ...(hostname === undefined ? {} : { hostname }) };
  if (secret === undefined) return named;
  const field = fieldOf('proxy-ssl-secret');
  const authorities = verify ? (trust.resolveOne(entry, field, { kind: 'Secret', name: secret }, AUTHORITIES_KEY) ?? []) : [];
  const client = certificates.forClient(entry, field, secret);
  return { ...named, wellKnownAuthorities: !verify, authorities, ...(client === undefined ? {} : { clientCertificate: client }) };
}

function ownSecret(entry: Entry<Ingress>, values: AnnotationValues): string | undefined {
  const written = values.text('proxy-ssl-secret');
  if (written === undefined) return undefined;
  const [namespace, name, ...rest] = written.split('/');
  if (namespace !== entry.namespace || name === undefined || name === '' || rest.length > 0) {
    return values.refuse('proxy-ssl-secret', 'no Secret of this namespace', `write "${entry.namespace}/NAME"`);
  }
  return name;
}

function* placesOf({ namespace }: Entry<Ingress>, { spec }: Ingress): Generator<string> {
  const backends: (IngressBackend | undefined)[] = [spec.defaultBackend, ...spec.rules.flatMap((rule) => rule.paths.map(({ backend }) => backend))];
  for (const backend of backends) {
    const service = backend?.service;
    if (service !== undefined) yield `${namespace}/${service.name}/${service.port.number ?? service.port.name ?? ''}`;
  }
}
