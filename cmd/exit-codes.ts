/** What the process's exit status tells; the same for every subcommand. */
export const EXIT = {
  good: 0,
  /** A problem that was found: invalid manifests, differences, a busy port, an unreadable folder. */
  problem: 1,
  /** Wrong usage. */
  usage: 2,
  /** A fault of ours. */
  fault: 70,
} as const;
