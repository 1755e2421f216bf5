/** Descriptors that access lines are written to, none of which may block. */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { Socket } from 'node:net';

const STANDARD_OUTPUT = 1;
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK;

/** A stream that the collector takes would close its descriptor. */
const kept: Socket[] = [];

/**
 * A descriptor of our own where that can be had, so that its flags are nobody else's.
 * @param target path of the file to append to; `stdout` for the process's own output, see `unblockStandardOutput`
 * @throws the system's error when a file can't be opened
 */
export function openSink(target: string): number {
  if (target !== 'stdout') return openSync(target, FLAGS | constants.O_CREAT, 0o640);
  try {
    return openSync('/proc/self/fd/1', FLAGS);
  } catch {
    // It is a socket, or there is no /proc.
    return STANDARD_OUTPUT;
  }
}

export function closeSink(descriptor: number): void {
  if (descriptor !== STANDARD_OUTPUT) closeSync(descriptor);
}

/** What a process that logs to its standard output has to know of it. */
export type StandardOutput = 'own' | 'shared' | 'blocking';

/**
 * Sets standard output itself to not block where it can't be opened anew, which is so for sockets: the flag belongs to the
 * open file, and so it changes for all that share it. Node.js puts it back when the process ends. Once, before any sink is
 * opened; it holds for all threads.
 * @returns own: nothing had to be changed; shared: it was set for all; blocking: it can't be had, as with datagram sockets
 */
export function unblockStandardOutput(): StandardOutput {
  const sink = openSink('stdout');
  closeSink(sink);
  if (sink !== STANDARD_OUTPUT || fstatSync(STANDARD_OUTPUT).isFile()) return 'own';
  try {
    // Nothing is written through the stream; that it takes the descriptor over is what sets the flag.
    kept.push(new Socket({ fd: STANDARD_OUTPUT, readable: false, writable: true }).on('error', () => {}).unref());
    return 'shared';
  } catch {
    return 'blocking';
  }
}
