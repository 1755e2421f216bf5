/**
 * SHA-256 digests of tokens that have come more than once: to find the digest of a text that is known costs a comparison, which is a
 * fraction of what making it costs. Texts are found by their last characters, which are of the signature. The comparison takes as long
 * for every text of a length, so that nobody learns how much of a guess was right.
 */

/** A power of two. Of two texts with the same place the later one stays. */
const PLACES = 2048;
/** Longer texts are not kept: all of them together take up to 4 MiB. */
const LONGEST = 2048;
const WORDS = LONGEST / 4;
/** Characters that a place is made of. */
const LAST = 6;

/** The text that is asked for, as words. */
const asked = new Int32Array(WORDS);
const askedBytes = Buffer.from(asked.buffer);

export class RecentDigests {
  /** Made with the first text: most workers never see a token. */
  #texts: Int32Array | undefined;
  readonly #lengths = new Uint16Array(PLACES);
  readonly #digests: string[] = new Array(PLACES).fill('');

  /** @returns undefined where it is not kept */
  get(text: string): string | undefined {
    const texts = this.#texts;
    const { length } = text;
    if (texts === undefined || length === 0) return undefined;
    const place = placeOf(text);
    if (this.#lengths[place] !== length) return undefined;
    const words = writeAsked(text);
    const start = place * WORDS;
    let unlike = 0;
    // Four at a time: what a turn of the loop costs by itself is as much as a comparison.
    for (let index = 0; index < words; index += 4) {
      const at = start + index;
      unlike |=
        ((asked[index] as number) ^ (texts[at] as number)) |
        ((asked[index + 1] as number) ^ (texts[at + 1] as number)) |
        ((asked[index + 2] as number) ^ (texts[at + 2] as number)) |
        ((asked[index + 3] as number) ^ (texts[at + 3] as number));
    }
    return unlike === 0 ? this.#digests[place] : undefined;
  }

  /** @param text whose characters are bytes @param digest its digest */
  keep(text: string, digest: string): void {
    if (text.length > LONGEST) return;
    this.#texts ??= new Int32Array(PLACES * WORDS);
    const place = placeOf(text);
    this.#texts.set(asked.subarray(0, writeAsked(text)), place * WORDS);
    this.#lengths[place] = text.length;
    this.#digests[place] = digest;
  }
}

/** @returns how many words it takes, a multiple of four; what the last four have beyond the text is 0 */
function writeAsked(text: string): number {
  const words = ((text.length + 15) >>> 4) << 2;
  for (let index = words - 4; index < words; index++) asked[index] = 0;
  askedBytes.write(text, 'latin1');
  return words;
}

function placeOf(text: string): number {
  let bits = 0;
  for (let index = Math.max(0, text.length - LAST); index < text.length; index++) bits = (bits * 31 + text.charCodeAt(index)) | 0;
  return Math.imul(bits, 0x9e3779b1) >>> 21;
}
