/**
 * What each peer of Tidegate is asked to do: one core, keep-alive to the backend, X-Forwarded-For added, HTTP/2 and HTTP/1.1
 * on the TLS port. A peer's file writes its configuration and says how it is started.
 */
import type { Addresses } from '../load.ts';
import type { Certificate, Setting } from '../subjects.ts';

export interface Task {
  /** For configuration and logs, of this one process. */
  readonly folder: string;
  readonly ports: Addresses;
  /** Port of the backend on loopback. */
  readonly backend: number;
  readonly setting: Setting;
  readonly certificate: Certificate;
}

export interface Command {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** Whether the backend is spoken to by HTTP/2 in clear. */
export function speaksHttp2({ setting }: Task): boolean {
  return setting.backend === 'h2c' || setting.backend === 'grpc';
}
