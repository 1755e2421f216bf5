/** The program: one file per subcommand; only this folder touches arguments, environment, signals and exit codes. */

import { Command, CommanderError } from 'commander';
import { EXIT } from './exit-codes.ts';
import { explainCommand } from './explain.ts';
import { checkSwitches } from './flags.ts';
import { serveCommand } from './serve.ts';
import { validateCommand } from './validate.ts';
import { version } from './version.ts';

// Whoever reads our output may have seen enough, as `head` does.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(EXIT.good);
});

const program = new Command('tidegate')
  .description('Kubernetes ingress controller and API gateway')
  .version(version, '--version', 'print the version')
  .helpOption('--help', 'show this help')
  .hook('preAction', (_program, command) => checkSwitches(command))
  .exitOverride();

for (const make of [serveCommand, validateCommand, explainCommand]) {
  program.addCommand(make().version(version, '--version', 'print the version').helpOption('--help', 'show this help').exitOverride());
}

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) {
    process.stderr.write(`tidegate: internal error: ${error instanceof Error ? error.stack : String(error)}\n`);
    process.exit(EXIT.fault);
  }
  // Help and version were asked for; all else that commander throws is wrong usage, which it has printed.
  process.exit(error.exitCode === 0 ? EXIT.good : EXIT.usage);
}
