/** What the values of affinity cookies are made with. */
import { createHmac } from 'node:crypto';
import type { SessionAffinity, UpstreamKey } from '../snapshot/upstream.ts';

/** Crosses to the workers as it is. */
export interface AffinitySecrets {
  /** Of `--affinity-key-file`; absent: there is none. */
  readonly configured?: Uint8Array;
  /** Of this process: 32 random bytes. */
  readonly own: Uint8Array;
}

/** 128 bits: nobody comes upon another endpoint's by trying. */
const DIGEST_BYTES = 16;

/**
 * Keys by which a cookie's value hides the address that it stands for: without the key, whoever tried all private addresses
 * would find the one. All replicas must come to the same key, and do so again after a restart, or a client would lose its
 * endpoint with its connection. So it is made of the secret in a file that all of them were given; else of the Service's UID,
 * which is random, the same for all who read it from the API server, and known within the cluster alone. Where there is
 * neither, as with a folder of manifests, it is random, the same for all workers, and lasts as long as the process.
 */
export class AffinityKeys {
  readonly #secrets: AffinitySecrets;

  constructor(secrets: AffinitySecrets) {
    this.#secrets = secrets;
  }

  /** @returns from an endpoint's name to its cookie's value, which is safe in a cookie as it is */
  digester(upstream: UpstreamKey, affinity: Pick<SessionAffinity, 'serviceUid'>): (endpoint: string) => string {
    const { configured, own } = this.#secrets;
    const { serviceUid = '' } = affinity;
    const secret = configured ?? (serviceUid === '' ? own : '');
    const key = createHmac('sha256', secret).update(`tidegate session affinity\0${upstream}\0${serviceUid}`).digest();
    return (endpoint) => createHmac('sha256', key).update(endpoint).digest().subarray(0, DIGEST_BYTES).toString('base64url');
  }
}
