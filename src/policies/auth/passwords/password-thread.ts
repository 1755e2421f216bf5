/** Entry of a thread that does nothing but check passwords. */
import { parentPort } from 'node:worker_threads';
import { checkPassword } from './check-password.ts';

export interface PasswordQuestion {
  readonly id: number;
  readonly hash: string;
  readonly password: string;
}

export interface PasswordAnswer {
  readonly id: number;
  readonly isRight: boolean;
}

const port = parentPort;
if (port === null) throw new Error('password-thread.ts runs only as a worker thread');

port.on('message', ({ id, hash, password }: PasswordQuestion) => {
  port.postMessage({ id, isRight: checkPassword(hash, password) } satisfies PasswordAnswer);
});
