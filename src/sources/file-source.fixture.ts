/** A folder source under test: what came of it, what it said. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import type { ResourceSet } from '../resources/resource-set.ts';
import { FileSource } from './file-source.ts';

export const service = (name: string, port: number | string = 80): string =>
  `apiVersion: v1\nkind: Service\nmetadata: { name: ${name} }\nspec: { ports: [{ port: ${port} }] }\n`;

interface Said {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A folder of its own, and a source on it. */
export class Harness {
  readonly root = mkdtempSync(join(tmpdir(), 'tidegate-source-'));
  readonly folder = join(this.root, 'manifests');
  readonly said: Said[] = [];
  /** Every set that came, the first one too. */
  readonly sets: ResourceSet[] = [];
  readonly source = new FileSource({ folder: this.folder, log: (level, message, fields) => this.said.push({ level, message, fields }) });
  #wake: () => void = () => {};

  constructor(context: TestContext) {
    mkdirSync(this.folder);
    context.after(async () => {
      await this.source.close();
      rmSync(this.root, { recursive: true, force: true });
    });
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  write(name: string, text: string | Buffer): void {
    mkdirSync(dirname(this.path(name)), { recursive: true });
    writeFileSync(this.path(name), text);
  }

  async start(): Promise<ResourceSet> {
    this.source.onChange((set) => {
      this.sets.push(set);
      this.#wake();
    });
    this.sets.push(await this.source.start());
    return this.set;
  }

  get set(): ResourceSet {
    return this.sets.at(-1) as ResourceSet;
  }

  /** Resolves when the newest set, or what was said, is as wanted. The test's own time-out bounds it. */
  async until(wanted: (set: ResourceSet) => boolean): Promise<ResourceSet> {
    while (!wanted(this.set)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.set;
  }

  /** The newest state has been seen when a marker that is written after it is there. */
  async settled(): Promise<ResourceSet> {
    const name = `marker-${this.sets.length}-${this.said.length}`;
    this.write('zz-marker.yaml', service(name));
    return this.until((set) => set.services.has(`default/${name}`));
  }

  ports(): Readonly<Record<string, unknown>> {
    return Object.fromEntries(
      [...this.set.services.values()].filter(({ name }) => !name.startsWith('marker')).map(({ name, object }) => [name, object?.spec.ports[0]?.port]),
    );
  }

  problems(): string[] {
    return this.set.fileProblems.map(({ file, line, message }) => `${file}:${line} ${message}`);
  }

  errors(): Said[] {
    return this.said.filter(({ level }) => level === 'error');
  }
}
