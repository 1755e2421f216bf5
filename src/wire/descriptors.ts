import { readFileSync } from 'node:fs';

/** Descriptors that accepting leaves for connections to backends, files and the other threads. */
const SPARE = 64;

/**
 * The highest descriptor that an accepted connection may have, so that accepting never runs into the process's limit:
 * there libuv would drop every waiting connection, or spin when another thread has taken the descriptor that it keeps in
 * reserve. The kernel hands out the lowest free number, so a high one means that most are in use.
 */
export function highestAccepted(): number {
  const limit = openFilesLimit();
  return limit === Number.POSITIVE_INFINITY ? limit : limit - Math.min(SPARE, Math.ceil(limit / 4));
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
