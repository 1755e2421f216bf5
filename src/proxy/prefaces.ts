/** What is read of a connection before anything else is made of it: a PROXY header, and the server name of a ClientHello. */
import { LISTENER } from '../snapshot/defaults.ts';
import type { ProxiedEnds } from '../wire/proxy-header.ts';
import type { Preface, PrefaceOutcome, PrefaceReader } from '../wire/wire.ts';
import type { Listener } from './listeners.ts';
import type { Passthroughs } from './passthrough/passthrough.ts';
import type { ProxyProtocol } from './proxy-protocol.ts';
import { readClientHello } from './tls/client-hello.ts';

/** Of the TLS listener. Where nothing is passed through, the ClientHello is left to TLS, unread. */
export class TlsPreface implements Preface {
  readonly timeout = LISTENER.prefaceTimeout;
  readonly #proxyProtocol: ProxyProtocol | undefined;
  readonly #passthroughs: Passthroughs;
  readonly #listener: Listener;

  /** @param proxyProtocol absent: no connection begins with a PROXY header */
  constructor(proxyProtocol: ProxyProtocol | undefined, passthroughs: Passthroughs, listener: Listener) {
    this.#proxyProtocol = proxyProtocol;
    this.#passthroughs = passthroughs;
    this.#listener = listener;
  }

  begin(remoteAddress: string): PrefaceReader | undefined {
    const header = this.#proxyProtocol?.begin(remoteAddress);
    if (this.#passthroughs.serverNames.isEmpty) return header;
    return new TlsReader(header, this.#passthroughs, this.#listener);
  }
}

class TlsReader implements PrefaceReader {
  #header: PrefaceReader | undefined;
  readonly #passthroughs: Passthroughs;
  readonly #listener: Listener;
  /** Where the ClientHello begins, once that is known. */
  #skip = 0;
  #ends: ProxiedEnds | undefined = undefined;
  /** Bytes before another look at the ClientHello is worth it. */
  #need = 0;

  constructor(header: PrefaceReader | undefined, passthroughs: Passthroughs, listener: Listener) {
    this.#header = header;
    this.#passthroughs = passthroughs;
    this.#listener = listener;
  }

  read(bytes: Buffer): PrefaceOutcome | undefined {
    if (this.#header !== undefined) {
      const outcome = this.#header.read(bytes);
      if (outcome === undefined || outcome === 'refused') return outcome;
      this.#header = undefined;
      this.#skip = outcome.skip;
      this.#ends = outcome.ends;
    }
    const length = bytes.length - this.#skip;
    if (length === 0 || length < this.#need) return undefined;
    const hello = readClientHello(bytes.subarray(this.#skip));
    if (hello.type === 'more') {
      this.#need = hello.need;
      return undefined;
    }
    const found = { skip: this.#skip, ends: this.#ends };
    if (hello.type === 'bad') return found;
    const { serverName } = hello;
    const route = this.#passthroughs.serverNames.find(serverName);
    if (route === undefined) return found;
    return { ...found, accept: (connection) => this.#passthroughs.take(connection, this.#listener, route, serverName) };
  }

  abandoned(): void {
    this.#header?.abandoned();
  }
}
