import { CidrSet } from '../exchange/cidr.ts';
import { LISTENER } from '../snapshot/defaults.ts';
import { readProxyHeader } from '../wire/proxy-header.ts';
import type { Preface, PrefaceOutcome, PrefaceReader } from '../wire/wire.ts';

/**
 * What `--proxy-protocol` does to connections: those of trusted peers begin with a PROXY header, and without one they are
 * closed; for a missing header might be a client's own bytes, and theirs are no words to take an address from. Others have
 * none: what they send as one is no request (400) and no ClientHello, for the engines to refuse.
 */
export class ProxyProtocol implements Preface {
  readonly timeout = LISTENER.prefaceTimeout;
  readonly #trusted: CidrSet;
  readonly #onFailure: () => void;

  /** @param onFailure called for each connection that is closed without a good header */
  constructor(trustedProxies: readonly string[], onFailure: () => void) {
    this.#trusted = new CidrSet(trustedProxies);
    this.#onFailure = onFailure;
  }

  begin(remoteAddress: string): PrefaceReader | undefined {
    return this.#trusted.has(remoteAddress) ? new HeaderReader(this.#onFailure) : undefined;
  }
}

class HeaderReader implements PrefaceReader {
  readonly #onFailure: () => void;

  constructor(onFailure: () => void) {
    this.#onFailure = onFailure;
  }

  read(bytes: Buffer): PrefaceOutcome | undefined {
    const header = readProxyHeader(bytes);
    if (header === 'more') return undefined;
    if (header === 'bad') {
      this.#onFailure();
      return 'refused';
    }
    return { skip: header.length, ends: header.ends };
  }

  abandoned(): void {
    this.#onFailure();
  }
}
