import { readFileSync } from 'node:fs';

export const version = readVersion();

/** The version is package.json's, which lies beside cmd/ in the sources and beside dist/ in a build. */
function readVersion(): string {
  for (const path of ['../package.json', '../../package.json']) {
    try {
      return (JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as { version: string }).version;
    } catch {
      // The other place.
    }
  }
  return 'unknown';
}
