import { FieldKind } from '../../exchange/field-names.ts';
import { Fields, packLine } from '../../exchange/fields.ts';
import { latin1Copy } from '../../exchange/latin1-copy.ts';
import { FIRST_PSEUDO, type HeaderEntry, Pseudo } from './header-entry.ts';

export const PSEUDO_AFTER_FIELD = 'A pseudo-header field comes after a field.';
export const REPEATED_PSEUDO = 'A pseudo-header field is repeated.';

export interface BlockLimits {
  /** Of the list, as SETTINGS_MAX_HEADER_LIST_SIZE counts (RFC 9113 section 6.5.2); at most MAX_FIELDS_TEXT. */
  readonly maxBytes: number;
  /** Pseudo-header fields don't count. */
  readonly maxFields: number;
  /** Fields whose names have an underscore are left out, and counted. */
  readonly dropUnderscores: boolean;
}

/** What a good section holds, to be had again; see `HeaderBlock.keep`. */
export interface KeptSection {
  readonly limits: BlockLimits;
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  readonly path: string;
  readonly status: string;
  readonly protocol: string;
  readonly pseudo: number;
  readonly dropped: number;
  readonly bytes: number;
  /** Not to be changed. */
  readonly lines: number[];
  readonly mask: number;
  readonly count: number;
  /** Put together of pieces, until it is used for the first time. */
  text: string;
  isFlat: boolean;
}

/** Text above is not worth the memory. */
const MAX_KEPT_TEXT = 4 * 1024;

/**
 * One header section as it is decoded: lines for `Fields`, and the values of pseudo-header fields. One object serves many
 * connections, for it keeps nothing from one section to the next.
 */
export class HeaderBlock {
  /** Values of the pseudo-header fields; '' where there is none: see `pseudo`. */
  method = '';
  scheme = '';
  authority = '';
  path = '';
  status = '';
  protocol = '';
  /** The pseudo-header fields that are there: see `pseudoBit`. */
  pseudo = 0;
  /** More or larger fields than allowed; what came after that is not kept. */
  tooLarge = false;
  /** The first thing that makes the message malformed (RFC 9113 section 8.1.1), as a sentence for the log; '' for nothing. */
  flaw = '';
  /** Fields left out because of an underscore. */
  dropped = 0;
  /** Of the list, as SETTINGS_MAX_HEADER_LIST_SIZE counts. */
  bytes = 0;
  /** Where all of it was restored: what it was restored from. */
  section: KeptSection | undefined = undefined;

  readonly #limits: BlockLimits;
  #text = '';
  #lines: number[] = [];
  #mask = 0;
  #count = 0;

  constructor(limits: BlockLimits) {
    this.#limits = limits;
  }

  begin(): void {
    this.method = '';
    this.scheme = '';
    this.authority = '';
    this.path = '';
    this.status = '';
    this.protocol = '';
    this.pseudo = 0;
    this.tooLarge = false;
    this.flaw = '';
    this.dropped = 0;
    this.bytes = 0;
    this.section = undefined;
    this.#text = '';
    // The former array belongs to the Fields that were made of it, or to a section that is kept.
    this.#lines = [];
    this.#mask = 0;
    this.#count = 0;
  }

  add(entry: HeaderEntry): void {
    const { kind } = entry;
    this.bytes += entry.size;
    if (kind < FIRST_PSEUDO) this.#count++;
    if (this.bytes > this.#limits.maxBytes || this.#count > this.#limits.maxFields) {
      this.tooLarge = true;
      return;
    }
    if (entry.flaw !== '' && this.flaw === '') this.flaw = entry.flaw;
    if (kind >= FIRST_PSEUDO) {
      this.#addPseudo(entry);
    } else if (entry.hasUnderscore && this.#limits.dropUnderscores) {
      this.dropped++;
    } else {
      this.#lines.push(packLine(this.#text.length, entry.nameLength, kind as FieldKind));
      this.#mask |= 1 << kind;
      this.#text += entry.line;
    }
  }

  /**
   * The fields, once. `:authority` is the first of them as Host: whoever reads a request has to compare it with a `host`
   * that is there as well, and to remove one.
   */
  fields(): Fields {
    // `Fields` change theirs.
    const lines = this.section === undefined ? this.#lines : this.#lines.slice();
    return new Fields(this.#text, lines, this.#text.length, this.#mask);
  }

  /** @returns undefined where something is wrong with the section, or it is large */
  keep(): KeptSection | undefined {
    if (this.flaw !== '' || this.tooLarge || this.#text.length > MAX_KEPT_TEXT) return undefined;
    const { method, scheme, authority, path, status, protocol, pseudo, dropped, bytes } = this;
    const sums = { limits: this.#limits, lines: this.#lines.slice(), mask: this.#mask, count: this.#count };
    return { method, scheme, authority, path, status, protocol, pseudo, dropped, bytes, ...sums, text: this.#text, isFlat: false };
  }

  /** In place of `begin` and `add`. @returns false: it was kept under other limits, and nothing was done */
  restore(kept: KeptSection): boolean {
    if (kept.limits !== this.#limits) return false;
    if (!kept.isFlat) {
      kept.text = latin1Copy(kept.text);
      kept.isFlat = true;
    }
    this.method = kept.method;
    this.scheme = kept.scheme;
    this.authority = kept.authority;
    this.path = kept.path;
    this.status = kept.status;
    this.protocol = kept.protocol;
    this.pseudo = kept.pseudo;
    this.tooLarge = false;
    this.flaw = '';
    this.dropped = kept.dropped;
    this.bytes = kept.bytes;
    this.section = kept;
    this.#text = kept.text;
    this.#lines = kept.lines;
    this.#mask = kept.mask;
    this.#count = kept.count;
    return true;
  }

  #addPseudo(entry: HeaderEntry): void {
    const bit = pseudoBit(entry.kind);
    if (this.flaw === '' && this.#count > 0) this.flaw = PSEUDO_AFTER_FIELD;
    if (this.flaw === '' && (this.pseudo & bit) !== 0) this.flaw = REPEATED_PSEUDO;
    this.pseudo |= bit;
    const { value } = entry;
    if (entry.kind === Pseudo.Path) this.path = value;
    else if (entry.kind === Pseudo.Method) this.method = value;
    else if (entry.kind === Pseudo.Scheme) this.scheme = value;
    else if (entry.kind === Pseudo.Status) this.status = value;
    else if (entry.kind === Pseudo.Protocol) this.protocol = value;
    else if (entry.kind === Pseudo.Authority) {
      this.authority = value;
      this.#lines.push(packLine(this.#text.length, 'host'.length, FieldKind.Host));
      this.#mask |= 1 << FieldKind.Host;
      this.#text += entry.line;
    }
  }
}

/** @param kind one of Pseudo */
export function pseudoBit(kind: number): number {
  return 1 << (kind - FIRST_PSEUDO);
}
