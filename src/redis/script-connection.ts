/** What the rest of the gateway sees of Redis: scripts that run there. */
import { createHash } from 'node:crypto';

export class Script {
  readonly source: string;
  /** By which the server knows it once it has seen it. */
  readonly digest: string;

  constructor(source: string) {
    this.source = source;
    this.digest = createHash('sha1').update(source).digest('hex');
  }
}

export interface ScriptConnection {
  /** A server is there that answers. */
  readonly isReady: boolean;
  /** Keys are spread over servers by slot; those of one call must be of one slot. */
  readonly isCluster: boolean;
  /** Called when `isReady` has become true, and whenever there is none after all. @param detail why, in a few words; empty when ready */
  onChange: (detail: string) => void;
  /**
   * Sends it now; nothing is kept for later.
   * @throws (rejects) what the server answers, and when there is no connection or it is lost
   */
  run(script: Script, keys: readonly string[], args: readonly string[]): Promise<unknown>;
  /** The server does not answer, or is not the one that takes writes: looks anew for the one that does. */
  renew(reason: string): void;
}
