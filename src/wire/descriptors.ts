import { closeSync, openSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';

/** Descriptors that accepting leaves for connections to backends, files and the other threads. */
const SPARE = 64;

/**
 * The highest descriptor that an accepted connection may have, so that accepting never runs into the process's limit:
 * there libuv would drop every waiting connection, or spin when another thread has taken the descriptor that it keeps in
 * reserve. The kernel hands out the lowest free number, so a high one means that most are in use.
 */
export function highestAccepted(): number {
  return acceptLimits().highest;
}

/**
 * @returns beside `highestAccepted` what one that accepts and then pauses may have at most: connections to backends are above the
 *   highest, too, and threads that go on at the same moment each take one
 */
export function acceptLimits(): { readonly highest: number; readonly most: number } {
  const limit = openFilesLimit();
  if (limit === Number.POSITIVE_INFINITY) return { highest: limit, most: limit };
  const spare = Math.min(SPARE, Math.ceil(limit / 4));
  return { highest: limit - spare, most: limit - Math.ceil(spare / 4) };
}

/** The number that the next descriptor of the process gets; infinite when there is none left. */
export function lowestFree(): number {
  try {
    const descriptor = openSync('/dev/null', 'r');
    closeSync(descriptor);
    return descriptor;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** Whether a system call has failed for want of a descriptor, in the process or in the machine. @param errno negative */
export function isWithoutDescriptor(errno: number | undefined): boolean {
  return errno === -constants.errno.EMFILE || errno === -constants.errno.ENFILE;
}

/** Soft limit of open files (getrlimit(2), RLIMIT_NOFILE); infinite where it can't be read. */
function openFilesLimit(): number {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1];
    return soft === undefined ? Number.POSITIVE_INFINITY : Number.parseInt(soft, 10);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
