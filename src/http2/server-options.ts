import type { ServerOptions } from '../http1/server-options.ts';
import { HeaderBlock } from './hpack/header-block.ts';

/** SETTINGS_MAX_CONCURRENT_STREAMS. */
export const MAX_STREAMS = 100;
/** SETTINGS_INITIAL_WINDOW_SIZE: what is kept of a request's body while its backend is slower than its client. */
export const STREAM_WINDOW = 64 * 1024;
/** The same of all streams of a connection together. */
export const CONNECTION_WINDOW = 1024 * 1024;

const blocks = new WeakMap<ServerOptions, HeaderBlock>();

/** Where the heads of a listener's requests are decoded to, one after the other. */
export function requestBlock(options: ServerOptions): HeaderBlock {
  let block = blocks.get(options);
  if (block === undefined) {
    block = new HeaderBlock({ maxBytes: options.maxHeaderBytes, maxFields: options.maxFields, dropUnderscores: true });
    blocks.set(options, block);
  }
  return block;
}
