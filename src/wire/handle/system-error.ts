import { getSystemErrorName } from 'node:util';

/** The error of a system call, in the shape that `node:net` gives it: `code` is the system's name such as ECONNRESET. @param errno negative */
export function systemError(errno: number, syscall: string, where = ''): NodeJS.ErrnoException {
  const code = getSystemErrorName(errno);
  const error: NodeJS.ErrnoException = new Error(`${syscall} ${code}${where === '' ? '' : ` ${where}`}`);
  error.errno = errno;
  error.code = code;
  error.syscall = syscall;
  return error;
}
