/** A certificate for one host, which is its own authority, and the Secret that gives it to the gateway. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

/** Its files live as long as the test file that made it. */
export class ServerCertificate {
  readonly host: string;
  /** PEM file, for clients that are to trust it. */
  readonly file: string;
  readonly #key: string;

  constructor(host: string) {
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-suites-'));
    after(() => rmSync(folder, { recursive: true }));
    this.host = host;
    this.file = join(folder, 'certificate.pem');
    this.#key = join(folder, 'key.pem');
    const names = ['-subj', `/CN=${host}`, '-addext', `subjectAltName=DNS:${host}`];
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
    execFileSync('openssl', ['req', '-x509', '-nodes', ...curve, '-keyout', this.#key, '-out', this.file, '-days', '30', ...names], { stdio: 'ignore' });
  }

  /** A manifest. */
  secret(name: string): string {
    return `---
apiVersion: v1
kind: Secret
metadata: { name: ${name}, namespace: default }
type: kubernetes.io/tls
data: { tls.crt: ${readFileSync(this.file).toString('base64')}, tls.key: ${readFileSync(this.#key).toString('base64')} }
`;
  }
}
