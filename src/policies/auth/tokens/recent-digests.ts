/**
 * SHA-256 digests of tokens that have come more than once: to find the digest of a text that is known costs a comparison, which is a
 * tenth of what making it costs. Texts are found by their last characters, which are of the signature.
 */
import { latin1Copy } from '../../../exchange/latin1-copy.ts';

/** A power of two. Of two texts with the same place the later one stays. */
const PLACES = 2048;
/** Longer texts are not kept: all of them together are bounded by 4 MiB. */
const LONGEST = 2048;
/** Characters that a place is made of. */
const LAST = 6;

export class RecentDigests {
  readonly #texts: string[] = new Array(PLACES).fill('');
  readonly #digests: string[] = new Array(PLACES).fill('');

  /** @returns undefined where it is not kept */
  get(text: string): string | undefined {
    const place = placeOf(text);
    return this.#texts[place] === text && text !== '' ? this.#digests[place] : undefined;
  }

  /** @param text whose characters are bytes @param digest its digest */
  keep(text: string, digest: string): void {
    if (text.length > LONGEST) return;
    const place = placeOf(text);
    // It outlives the request that it is a part of.
    this.#texts[place] = latin1Copy(text);
    this.#digests[place] = digest;
  }
}

function placeOf(text: string): number {
  let bits = 0;
  for (let index = Math.max(0, text.length - LAST); index < text.length; index++) bits = (bits * 31 + text.charCodeAt(index)) | 0;
  return Math.imul(bits, 0x9e3779b1) >>> 21;
}
