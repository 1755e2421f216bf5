/** The same text in memory of its own: a slice keeps the whole alive that it was cut from. @param text whose characters are bytes */
export function latin1Copy(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}
