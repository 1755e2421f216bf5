/**
 * For tests: RFC 9111 for a small world, written plainly and on purpose not like the cache itself: answers are settings, not
 * fields, times are whole seconds, and everything is in maps. It says of each request what a client gets and how often the origin is asked.
 */

/** Seconds, where they are numbers. */
export interface Control {
  readonly maxAge?: number;
  readonly sMaxage?: number;
  readonly whileRevalidate?: number;
  readonly ifError?: number;
  readonly noStore?: true;
  readonly isPrivate?: true;
  readonly isPublic?: true;
  readonly noCache?: true;
  readonly mustRevalidate?: true;
}

/** How the origin answers for one URL. */
export interface Setting {
  readonly fails: boolean;
  readonly control: Control | undefined;
  readonly age: number;
  readonly varies: boolean;
  readonly etag: boolean;
  readonly cookie: boolean;
  readonly dated: boolean;
  readonly inPieces: boolean;
}

export interface Asked {
  readonly url: number;
  readonly language: string;
  readonly authorized: boolean;
  readonly head: boolean;
  readonly maxAge?: number;
  readonly minFresh?: number;
  /** Infinite: the bare directive. */
  readonly maxStale?: number;
  readonly noCache?: true;
  readonly noStore?: true;
  readonly onlyIfCached?: true;
}

interface Entry {
  readonly setting: Setting;
  readonly version: number;
  readonly language: string;
  readonly at: number;
}

export interface Expected {
  readonly status: number;
  /** Version and language of the body; undefined: none. */
  readonly body: string | undefined;
  /** Where it comes from memory. */
  readonly age: number | undefined;
}

const POLICY = { whileRevalidate: 30, ifError: 300 };

export class ModelCache {
  /** Seconds. */
  now = 0;
  /** How often the origin was asked. */
  asked = 0;
  readonly origin: { setting: Setting; version: number }[];
  readonly #entries: Map<string, Entry>[];
  readonly #varies: boolean[];

  constructor(settings: readonly Setting[]) {
    this.origin = settings.map((setting) => ({ setting, version: 0 }));
    this.#entries = settings.map(() => new Map());
    this.#varies = settings.map(() => false);
  }

  forget(url: number): void {
    this.#entries[url] = new Map();
    this.#varies[url] = false;
  }

  get(request: Asked): Expected {
    const key = this.#varies[request.url] ? request.language : '';
    const entry = this.#entries[request.url]?.get(key);
    if (request.noStore) return this.#past(request);
    if (entry !== undefined) {
      const use = this.#use(entry, request);
      if (use !== 'ask') {
        const served = this.#served(entry, request);
        if (use === 'meanwhile') this.#ask(request, key, entry, false);
        return served;
      }
    }
    if (request.onlyIfCached) return { status: 504, body: undefined, age: undefined };
    return request.head ? this.#past(request) : this.#ask(request, key, entry);
  }

  #age({ setting, at }: Entry): number {
    return setting.age + this.now - at;
  }

  #served(entry: Entry, { head }: Asked): Expected {
    return { status: 200, body: head ? undefined : `${entry.version} ${entry.language}`, age: this.#age(entry) };
  }

  #past({ url, head, language }: Asked): Expected {
    this.asked++;
    const { setting, version } = this.origin[url] as { setting: Setting; version: number };
    if (setting.fails) return { status: 503, body: undefined, age: undefined };
    return { status: 200, body: head ? undefined : `${version} ${setting.varies ? language : '-'}`, age: undefined };
  }

  #use(entry: Entry, request: Asked): 'serve' | 'meanwhile' | 'ask' {
    const { control = {} } = entry.setting;
    const age = this.#age(entry);
    const lifetime = lifetimeOf(control) as number;
    // Sections 5.2.2.4 and 5.2.1.4.
    if (control.noCache || request.noCache) return 'ask';
    if (request.maxAge !== undefined && age > request.maxAge) return 'ask';
    // Section 5.2.1.3.
    if (age < lifetime && lifetime - age >= (request.minFresh ?? 0)) return 'serve';
    if (request.minFresh !== undefined) return 'ask';
    const neverStale = control.mustRevalidate || control.sMaxage !== undefined;
    if (age >= lifetime && !neverStale && request.maxStale && age - lifetime <= request.maxStale) return 'serve';
    if (request.maxAge !== undefined) return 'ask';
    return age >= lifetime && age - lifetime < whileRevalidate(control) ? 'meanwhile' : 'ask';
  }

  /** The origin is asked, with the entry's validator if there is one. @param waits somebody waits for it */
  #ask(request: Asked, key: string, entry: Entry | undefined, waits = true): Expected {
    this.asked++;
    const { url, language } = request;
    const { setting, version } = this.origin[url] as { setting: Setting; version: number };
    const entries = this.#entries[url] as Map<string, Entry>;
    if (setting.fails) {
      const control = entry?.setting.control ?? {};
      // RFC 5861 section 4; never what is to be validated each time.
      const stands = entry !== undefined && !request.noCache && !control.noCache && this.#age(entry) - (lifetimeOf(control) as number) < ifError(control);
      return stands ? this.#served(entry, request) : { status: 503, body: undefined, age: undefined };
    }
    if (entry?.setting.etag && setting.etag && entry.version === version && entry.language === (setting.varies ? language : '-')) {
      // Section 3.2: what the 304 says replaces what was there.
      const cookie = setting.cookie || entry.setting.cookie;
      const merged: Entry = {
        ...{ version, language: entry.language, at: this.now },
        setting: { ...setting, control: setting.control ?? entry.setting.control, varies: setting.varies || entry.setting.varies, cookie },
      };
      const keeps = isStored(merged.setting, request);
      if (keeps) this.#store(url, key, language, merged);
      else entries.delete(key);
      if (!keeps && waits) return this.#ask(request, key, undefined);
      return this.#served(merged, request);
    }
    const answer = { status: 200, body: `${version} ${setting.varies ? language : '-'}`, age: undefined };
    const fresh: Entry = { setting, version, language: setting.varies ? language : '-', at: this.now };
    if (isStored(setting, request)) this.#store(url, key, language, fresh);
    else entries.delete(key);
    return answer;
  }

  #store(url: number, key: string, language: string, entry: Entry): void {
    const entries = this.#entries[url] as Map<string, Entry>;
    if (entry.setting.varies && !this.#varies[url]) {
      this.#varies[url] = true;
      entries.delete(key);
    }
    entries.set(this.#varies[url] ? language : '', entry);
  }
}

function lifetimeOf({ sMaxage, maxAge, noCache }: Control): number | undefined {
  return sMaxage ?? maxAge ?? (noCache ? 0 : undefined);
}

function whileRevalidate(control: Control): number {
  if (control.mustRevalidate || control.noCache) return 0;
  return control.whileRevalidate ?? (control.sMaxage !== undefined || lifetimeOf(control) === 0 ? 0 : POLICY.whileRevalidate);
}

function ifError(control: Control): number {
  if (control.mustRevalidate || control.noCache) return 0;
  return control.ifError ?? (control.sMaxage !== undefined ? 0 : POLICY.ifError);
}

/** Section 3, with what a shared cache may keep, and nothing that could never be served. */
function isStored({ control, age, etag, cookie }: Setting, { authorized }: Asked): boolean {
  if (control === undefined || control.noStore || control.isPrivate || cookie) return false;
  if (authorized && !control.isPublic && !control.mustRevalidate && control.sMaxage === undefined) return false;
  const lifetime = lifetimeOf(control);
  if (lifetime === undefined) return false;
  return etag || (!control.noCache && lifetime + whileRevalidate(control) > age);
}
