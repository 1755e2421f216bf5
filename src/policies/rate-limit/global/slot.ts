/** CRC-16/XMODEM, by which Redis Cluster spreads keys over its slots. */
const SLOTS = 16_384;

/** @param tag what stands in braces in a key; ASCII */
export function slotOf(tag: string): number {
  let crc = 0;
  for (let index = 0; index < tag.length; index++) {
    crc ^= tag.charCodeAt(index) << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : crc << 1;
  }
  return crc % SLOTS;
}
