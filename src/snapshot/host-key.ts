import type { HostPattern } from './match.ts';

/** Equal for equal patterns, and in the order in which hosts rank: exact, wildcard, any. */
export function hostKey(host: HostPattern): string {
  switch (host.type) {
    case 'Exact':
      return `0${host.value}`;
    case 'Suffix':
      return `1${host.value}`;
    case 'OneLabel':
      return `2${host.value}`;
    case 'Any':
      return '3';
  }
}
