import type { SecureContext, SecureContextOptions } from 'node:tls';
import type { HostPattern } from '../../snapshot/match.ts';
import type { ClientValidation, ServerName } from '../../snapshot/tls.ts';
import { secureContextOptions } from '../../wire/secure-context.ts';
import type { HandshakeOffer } from '../../wire/wire.ts';
import { CertificateMaterial, type KeyPair } from './certificate-material.ts';

/** The part of a snapshot that concerns certificates. */
export interface CertificatesSnapshot {
  readonly certificates: readonly KeyPair[];
  readonly serverNames: readonly ServerName[];
  /** Id of the certificate for unknown names; undefined: the self-signed one. */
  readonly defaultCertificate: string | undefined;
}

type Log = (level: 'warn', message: string, fields: Readonly<Record<string, unknown>>) => void;

/** What a name is served with; `lastGood` is set while no context can be made of `material`. */
interface Slot {
  readonly material: CertificateMaterial;
  readonly lastGood: CertificateMaterial | undefined;
}

/** Slots by what comes after the wildcard, or the whole name. */
interface Slots {
  readonly exact: Map<string, Slot>;
  readonly oneLabel: Map<string, Slot>;
  readonly suffix: Map<string, Slot>;
  /** Under '': there is one at most. */
  readonly any: Map<string, Slot>;
}

/** One worker's TLS contexts by server name. Names whose certificates did not change keep their context through any snapshot. */
export class CertificateStore {
  readonly #log: Log;
  readonly #options: Readonly<SecureContextOptions>;
  readonly #selfSigned: SecureContext;
  readonly #selfSignedMaterial: CertificateMaterial;
  #slots: Slots = noSlots();
  #default: Slot | undefined = undefined;
  /** By the ids of their certificates. */
  #materials: ReadonlyMap<string, CertificateMaterial> = new Map();

  /**
   * @param selfSigned for unknown names without a default certificate
   * @param options versions and suites
   * @throws when no context can be made of `selfSigned`
   */
  constructor(selfSigned: KeyPair, log: Log, options: Readonly<SecureContextOptions> = secureContextOptions) {
    this.#log = log;
    this.#options = options;
    this.#selfSignedMaterial = new CertificateMaterial(
      [selfSigned],
      (_id, error) => {
        throw error;
      },
      options,
    );
    this.#selfSigned = this.#selfSignedMaterial.context as SecureContext;
  }

  /**
   * The context for a server name as the client sent it ('' when it sent none): that of the exact name, else of the longest
   * wildcard, else the default one. Never throws.
   * @param offer given where the context replaces another one in a handshake, and so must have a single certificate
   */
  secureContext(serverName: string, offer?: HandshakeOffer): SecureContext {
    return contextOf(this.#find(serverName), offer) ?? contextOf(this.#default, offer) ?? this.#selfSigned;
  }

  /** As `secureContext`, for a handshake that asks for a certificate as `validation` says. @throws when an authority can't be used */
  contextAsking(serverName: string, validation: ClientValidation): SecureContext {
    for (const slot of [this.#find(serverName), this.#default]) {
      const context = slot?.material.contextAsking(validation) ?? slot?.lastGood?.contextAsking(validation);
      if (context !== undefined) return context;
    }
    return this.#selfSignedMaterial.contextAsking(validation) as SecureContext;
  }

  /**
   * Takes over a snapshot's certificates. A certificate that can't be used leaves its names with what they had before, else
   * with the default certificate, and is reported once. Names without any certificate in the snapshot are translation's to report.
   */
  apply(snapshot: CertificatesSnapshot): void {
    const known = new Map(snapshot.certificates.map((certificate) => [certificate.id, certificate]));
    const materials = new Map<string, CertificateMaterial>();
    const materialOf = (ids: readonly string[]): CertificateMaterial | undefined => {
      const pairs = ids.map((id) => known.get(id)).filter((pair) => pair !== undefined);
      if (pairs.length === 0) return undefined;
      const key = pairs.map((pair) => pair.id).join(' ');
      let material = materials.get(key) ?? this.#materials.get(key);
      if (material === undefined || !material.holds(pairs))
        material = new CertificateMaterial(pairs, (certificates, error) => this.#report(certificates, error), this.#options);
      materials.set(key, material);
      return material;
    };

    const slots = noSlots();
    for (const { host, certificates } of mergedByHost(snapshot.serverNames)) {
      const [table, name] = tableOf(slots, host);
      const slot = renewed(tableOf(this.#slots, host)[0].get(name), materialOf(certificates));
      if (slot !== undefined) table.set(name, slot);
    }
    this.#default = snapshot.defaultCertificate === undefined ? undefined : renewed(this.#default, materialOf([snapshot.defaultCertificate]));
    this.#slots = slots;
    this.#materials = materials;
  }

  #find(serverName: string): Slot | undefined {
    const { exact, oneLabel, suffix, any } = this.#slots;
    // Names are compared without case, and without the dot of the root (RFC 6066 section 3).
    let name = serverName.toLowerCase();
    if (name.endsWith('.')) name = name.slice(0, -1);
    const found = exact.get(name);
    if (found !== undefined) return found;
    let firstLabel = true;
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
      const parent = name.slice(dot + 1);
      const slot = (firstLabel ? oneLabel.get(parent) : undefined) ?? suffix.get(parent);
      if (slot !== undefined) return slot;
      firstLabel = false;
    }
    return any.get('');
  }

  #report(certificates: string, error: Error): void {
    this.#log('warn', 'certificate can not be used', { certificates, error: error.message });
  }
}

function noSlots(): Slots {
  return { exact: new Map(), oneLabel: new Map(), suffix: new Map(), any: new Map() };
}

function tableOf(slots: Slots, host: HostPattern): [table: Map<string, Slot>, name: string] {
  switch (host.type) {
    case 'Exact':
      return [slots.exact, host.value.toLowerCase()];
    case 'OneLabel':
      return [slots.oneLabel, host.value.toLowerCase()];
    case 'Suffix':
      return [slots.suffix, host.value.toLowerCase()];
    case 'Any':
      return [slots.any, ''];
  }
}

/** Several objects may name certificates for one host: they all count, the earlier ones first. */
function mergedByHost(serverNames: readonly ServerName[]): Iterable<ServerName> {
  const merged = new Map<string, ServerName>();
  for (const { host, certificates } of serverNames) {
    const place = host.type === 'Any' ? '' : `${host.type} ${host.value.toLowerCase()}`;
    const before = merged.get(place)?.certificates ?? [];
    merged.set(place, { host, certificates: [...before, ...certificates.filter((id) => !before.includes(id))] });
  }
  return merged.values();
}

/** @param material undefined when the snapshot has none of the name's certificates: it keeps what it had */
function renewed(slot: Slot | undefined, material: CertificateMaterial | undefined): Slot | undefined {
  if (material === undefined || slot?.material === material) return slot;
  if (slot === undefined) return { material, lastGood: undefined };
  // A certificate in use is replaced by one that works only, so the context is made now and not when somebody connects.
  if (material.context !== undefined) return { material, lastGood: undefined };
  return { material, lastGood: slot.material.context === undefined ? slot.lastGood : slot.material };
}

function contextOf(slot: Slot | undefined, offer: HandshakeOffer | undefined): SecureContext | undefined {
  if (offer === undefined) return slot?.material.context ?? slot?.lastGood?.context;
  return slot?.material.contextFor(offer) ?? slot?.lastGood?.contextFor(offer);
}
