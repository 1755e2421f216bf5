/**
 * A process that runs the command again and again for the test that forked it, as the program would each time: in a folder, with
 * arguments, to an exit code. Most of what the program costs is its start.
 */
import { validateCommand } from '../../cmd/validate.ts';

export interface Order {
  readonly folder: string;
  readonly args: readonly string[];
}

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

process.on('message', async ({ folder, args }: Order) => {
  let [stdout, stderr] = ['', ''];
  process.stdout.write = (text: string | Uint8Array) => {
    stdout += text;
    return true;
  };
  process.stderr.write = (text: string | Uint8Array) => {
    stderr += text;
    return true;
  };
  process.chdir(folder);
  process.exitCode = undefined;
  await validateCommand().parseAsync(args, { from: 'user' });
  const outcome: Outcome = { code: Number(process.exitCode ?? 0), stdout, stderr };
  process.exitCode = undefined;
  process.send?.(outcome);
});
