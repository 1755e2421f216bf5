/** A certificate for one host, the authority that clients are to trust, and the Secret that gives it to the gateway. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { Authority, type IssuedCertificate } from '../certificates/authority.ts';

/** Its file lives as long as the test file that made it. */
export class ServerCertificate {
  readonly host: string;
  /** PEM file of the authority. */
  readonly file: string;
  readonly #issued: IssuedCertificate;

  constructor(host: string) {
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-suites-'));
    after(() => rmSync(folder, { recursive: true }));
    const authority = new Authority('Suites Root');
    this.host = host;
    this.file = join(folder, 'authority.pem');
    writeFileSync(this.file, authority.cert);
    this.#issued = authority.issue({ names: [host] });
  }

  /** A manifest. */
  secret(name: string): string {
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    return `---
apiVersion: v1
kind: Secret
metadata: { name: ${name}, namespace: default }
type: kubernetes.io/tls
data: { tls.crt: ${base64(this.#issued.cert)}, tls.key: ${base64(this.#issued.key)} }
`;
  }
}
