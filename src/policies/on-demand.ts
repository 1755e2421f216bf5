import { createRequire } from 'node:module';

/** This code runs as it is written, or compiled. */
const EXTENSION = import.meta.url.endsWith('.ts') ? '.ts' : '.js';

/**
 * For a module that few snapshots need, with the library that it stands on: it is loaded when a filter that needs it is compiled first, and
 * at once, for a snapshot is compiled in steps that do not wait. No request ever waits for it.
 * @param from `import.meta.url` of the caller
 * @param path of the module, relative to the caller, without its extension
 * @returns gives the module
 */
export function onDemand<Module>(from: string, path: string): () => Module {
  let loaded: Module | undefined;
  return () => {
    loaded ??= createRequire(from)(path + EXTENSION) as Module;
    return loaded;
  };
}
