import type { ConnectionHandler } from './wire.ts';

/** Takes the place of a connection's handler until the accept callback has set one. */
export const unhandled: ConnectionHandler = { onData() {}, onEnd() {}, onDrain() {}, onClose() {} };
