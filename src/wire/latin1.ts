interface Latin1Sliceable {
  latin1Slice(start: number, end: number): string;
}

/** `bytes[start..end)` as text, a character a byte. `Buffer.toString('latin1')` without its look at the encoding's name. */
export function latin1(bytes: Buffer, start: number, end: number): string {
  return (bytes as unknown as Latin1Sliceable).latin1Slice(start, end);
}
