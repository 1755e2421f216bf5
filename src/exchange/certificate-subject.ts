/** Subjects of certificates, as RFC 4514 writes them. */

/** @param subject as OpenSSL writes it for people: an attribute a line, the widest first; values are escaped as in RFC 2253 */
export function certificateSubject(subject: string): string {
  return subject
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.replaceAll(' + ', '+'))
    .reverse()
    .join(',');
}

/** One that somebody has written: blanks around the commas between its parts, and around the first equals sign of each, do not count. */
export function normalSubject(written: string): string {
  const parts: string[] = [''];
  for (let index = 0; index < written.length; index++) {
    const character = written[index] as string;
    if (character === '\\') {
      parts[parts.length - 1] += character + (written[index + 1] ?? '');
      index++;
    } else if (character === ',') parts.push('');
    else parts[parts.length - 1] += character;
  }
  return parts.map((part) => trimmed(part).replace(/^([A-Za-z0-9.]+) *= */, '$1=')).join(',');
}

/** But for a blank at the end that is escaped. */
function trimmed(part: string): string {
  const text = part.trim();
  return /(?<!\\)(\\\\)*\\$/.test(text) ? `${text} ` : text;
}
