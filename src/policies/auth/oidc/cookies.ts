/** Cookies in which a browser keeps what is sealed: long ones in several, short ones of logins under way in a few places. */
import type { Exchange } from '../../../exchange/exchange.ts';

/** What browsers keep of one cookie at least, name and attributes included (RFC 6265 section 6.1), less room for those. */
const CHUNK_LENGTH = 3700;
/** With more, the head of a request would come near its limit, 16 KiB. */
const MOST_CHUNKS = 3;

/** Of the session: `NAME`, then `NAME.1`, `NAME.2` where it is long. The first begins with their number. */
export class SessionCookies {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  /** Whether the request has something by that name, good or not. */
  isPresent(exchange: Exchange): boolean {
    return exchange.cookie(this.name) !== undefined;
  }

  /** @returns what `write` was given; undefined where a part is missing or not as it was written */
  read(exchange: Exchange): string | undefined {
    const first = exchange.cookie(this.name);
    if (first === undefined) return undefined;
    const count = first.charCodeAt(0) - 0x30;
    if (!(count >= 1 && count <= MOST_CHUNKS) || first[1] !== '.') return undefined;
    let text = first.slice(2);
    for (let index = 1; index < count; index++) {
      const chunk = exchange.cookie(`${this.name}.${index}`);
      if (chunk === undefined) return undefined;
      text += chunk;
    }
    return text;
  }

  /** @param text of characters that cookies can have @returns values of Set-Cookie, those that end older chunks included; undefined where it is too long */
  write(exchange: Exchange, text: string): string[] | undefined {
    const count = Math.max(1, Math.ceil((text.length + 2) / CHUNK_LENGTH));
    if (count > MOST_CHUNKS) return undefined;
    const whole = `${count}.${text}`;
    const lines: string[] = [];
    for (let index = 0; index < MOST_CHUNKS; index++) {
      const name = this.#chunkName(index);
      if (index < count) lines.push(setCookie(exchange, name, whole.slice(index * CHUNK_LENGTH, (index + 1) * CHUNK_LENGTH), undefined));
      else if (exchange.cookie(name) !== undefined) lines.push(setCookie(exchange, name, '', 0));
    }
    return lines;
  }

  /** @returns values of Set-Cookie that end what the browser has */
  clear(exchange: Exchange): string[] {
    const lines: string[] = [];
    for (let index = 0; index < MOST_CHUNKS; index++) {
      const name = this.#chunkName(index);
      if (exchange.cookie(name) !== undefined) lines.push(setCookie(exchange, name, '', 0));
    }
    return lines;
  }

  /** @param index 0 to MOST_CHUNKS - 1 */
  #chunkName(index: number): string {
    return index === 0 ? this.name : `${this.name}.${index}`;
  }
}

/** Logins that one browser may have under way at once, in as many tabs; more cookies would fill up its requests. */
export const LOGIN_PLACES = 4;

/** Name of the cookie of a login under way. @param place 0 to LOGIN_PLACES - 1 */
export function loginCookieName(name: string, place: number): string {
  return `${name}_login.${place}`;
}

/** Whether a cookie is the gateway's own, and so nothing for a backend. @param name of the session's cookie */
export function isOwnCookie(name: string, cookie: string): boolean {
  if (!cookie.startsWith(name)) return false;
  return /^(?:|\.\d+|_login\.\d+)$/.test(cookie.slice(name.length));
}

/** A number of chunks, where it is the first of them, and at least 32 bytes in base64url. */
const SEALED = /^(?:[1-3]\.)?[A-Za-z0-9_-]{43,}$/;
/** The last of several may have few characters. */
const CHUNK = /\.\d+$/;

/**
 * Whether a cookie is the gateway's own by its value, too: what other applications keep by that name is theirs.
 * @param name of the session's cookie
 */
export function isSealedCookie(name: string, cookie: string, value: string): boolean {
  return isOwnCookie(name, cookie) && (SEALED.test(value) || (CHUNK.test(cookie) && /^[A-Za-z0-9_-]+$/.test(value)));
}

/**
 * RFC 6265 section 4.1. Lax: what follows a link from elsewhere, such as the provider's redirect, has it; what another site makes
 * the browser send has not.
 * @param maxAge seconds; 0 ends it; undefined: until the browser is closed
 */
export function setCookie({ scheme }: Exchange, name: string, value: string, maxAge: number | undefined): string {
  const age = maxAge === undefined ? '' : `; Max-Age=${maxAge}`;
  return `${name}=${value}; Path=/${age}; HttpOnly; SameSite=Lax${scheme === 'https' ? '; Secure' : ''}`;
}
