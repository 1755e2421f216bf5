let lastBytes: Buffer | undefined;
let lastView: DataView = new DataView(new ArrayBuffer(0));

/** The bytes as words. Most calls are for the buffer that all connections read into, so the last view is kept. */
export function viewOf(bytes: Buffer): DataView {
  if (bytes !== lastBytes) {
    lastBytes = bytes;
    lastView = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  return lastView;
}

/** Four characters as `DataView.getInt32(…, true)` reads them. */
export function word(text: string): number {
  return Buffer.from(text, 'latin1').readInt32LE(0);
}
