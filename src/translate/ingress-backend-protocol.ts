/**
 * What ingress-nginx's annotations say of how backends are spoken to: `backend-protocol`, `proxy-ssl-*` and `proxy-connect-timeout`. A
 * Service port speaks what it speaks, and its connections are shared, whichever Ingress leads there: so they hold for the port, where no
 * BackendPolicy says otherwise.
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
  'proxy-connect-timeout',
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

/** What an Ingress says of the Service ports that it leads to. */
interface Claim<Value> {
  readonly entry: Entry<Ingress>;
  /** As its annotation has it. */
  readonly word: string;
  readonly value: Value;
}

type OwnIngress = { readonly entry: Entry<Ingress>; readonly ingress: Ingress };

/** Of one annotation, by `namespace/service/port`, the port's number or its name. The oldest Ingress has its way. */
class PortClaims<Value> {
  readonly #name: string;
  readonly #claims = new Map<string, Claim<Value>>();

  constructor(name: string) {
    this.#name = name;
  }

  /** Younger ones are told that they have not theirs. */
  add({ entry, ingress }: OwnIngress, values: AnnotationValues, word: string, value: Value): void {
    const claim = { entry, word, value };
    let told = false;
    for (const place of placesOf(entry, ingress)) {
      const older = this.#claims.get(place);
      if (older === undefined) this.#claims.set(place, claim);
      if (older === undefined || older.entry === entry || older.word === word || told) continue;
      told = true;
      values.warn(
        this.#name,
        `Ingress ${objectKey(older.entry)}, which is older, says ${older.word} of the same Service port, which holds`,
        'make both say the same',
      );
    }
  }

  of(namespace: string, service: string, port: number, portName: string): Value | undefined {
    if (this.#claims.size === 0) return undefined;
    const byNumber = this.#claims.get(`${namespace}/${service}/${port}`);
    return (byNumber ?? (portName === '' ? undefined : this.#claims.get(`${namespace}/${service}/${portName}`)))?.value;
  }
}

const PROTOCOL = 'backend-protocol';
const CONNECT_TIMEOUT = 'proxy-connect-timeout';
/** A day, in seconds. */
const LONGEST_CONNECT = 86_400;

export class AnnotatedBackends {
  readonly #protocols = new PortClaims<AnnotatedBackend>(PROTOCOL);
  /** In milliseconds. */
  readonly #connectTimeouts = new PortClaims<number>(CONNECT_TIMEOUT);

  /** @param ingresses that are ours */
  constructor(ingresses: Iterable<OwnIngress>, issues: Issues, trust: Trust, certificates: Certificates) {
    const annotated = [...ingresses].filter(({ entry, ingress }) => {
      const values = new AnnotationValues(entry, ingress, issues);
      return (values.text(PROTOCOL) ?? values.text(CONNECT_TIMEOUT)) !== undefined;
    });
    for (const own of annotated.sort((one, other) => compareAge(one.entry, other.entry))) {
      const { entry, ingress } = own;
      const values = new AnnotationValues(entry, ingress, issues);
      const word = values.oneOf(PROTOCOL, PROTOCOLS);
      if (word !== undefined) {
        const secure = word === 'HTTPS' || word === 'GRPCS';
        this.#protocols.add(own, values, word, {
          protocol: word === 'GRPCS' ? 'HTTP2' : word === 'GRPC' ? 'H2C' : 'HTTP1',
          ...(secure ? { tls: tlsOf(entry, values, trust, certificates) } : {}),
        });
      }
      const seconds = values.wholeNumber(CONNECT_TIMEOUT, 1, LONGEST_CONNECT);
      if (seconds !== undefined) this.#connectTimeouts.add(own, values, String(seconds), seconds * 1000);
    }
  }

  of(namespace: string, service: string, port: number, portName: string): AnnotatedBackend | undefined {
    return this.#protocols.of(namespace, service, port, portName);
  }

  /** In milliseconds. */
  connectTimeout(namespace: string, service: string, port: number, portName: string): number | undefined {
    return this.#connectTimeouts.of(namespace, service, port, portName);
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
