/** A browser, as far as logins need one: it keeps cookies by host, and follows redirects. */
import { type Answer, send } from './client.ts';

export interface Page extends Answer {
  /** Where the redirects have led. */
  readonly url: string;
}

const HTML = { accept: 'text/html,application/xhtml+xml' };

export class Browser {
  /** By host and name. */
  readonly cookies = new Map<string, Map<string, string>>();
  /** URLs that were asked for, in order. */
  readonly visited: string[] = [];
  readonly #ports: ReadonlyMap<string, number>;

  /** @param ports of hosts that names lead to; others are asked at the port of their URL */
  constructor(ports: Readonly<Record<string, number>>) {
    this.#ports = new Map(Object.entries(ports));
  }

  /** One request, redirects not followed. */
  async request(url: string, headers: Readonly<Record<string, string>> = HTML, method = 'GET'): Promise<Answer> {
    this.visited.push(url);
    const { host, port, pathname, search } = new URL(url);
    const jar = this.jar(host);
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await send(this.#ports.get(host) ?? Number(port), pathname + search, {
      method,
      headers: { host, ...headers, ...(cookie === '' ? {} : { cookie }) },
    });
    for (const line of answer.headers['set-cookie'] ?? []) {
      const [pair = '', ...attributes] = line.split(/; */);
      const name = pair.slice(0, pair.indexOf('='));
      const isOver = attributes.some((one) => /^max-age=0$/i.test(one) || (/^expires=/i.test(one) && Date.parse(one.slice(8)) < Date.now()));
      if (isOver) jar.delete(name);
      else jar.set(name, pair.slice(name.length + 1));
    }
    return answer;
  }

  /** Goes where redirects lead, at most 20 of them; stops before a URL for which `stop` says so. */
  async open(url: string, stop: (url: string) => boolean = () => false): Promise<Page> {
    let at = url;
    for (let steps = 0; steps < 20; steps++) {
      const answer = await this.request(at);
      const { location } = answer.headers;
      if (answer.status < 300 || answer.status > 399 || location === undefined) return { ...answer, url: at };
      at = new URL(location, at).href;
      if (stop(at)) return { ...answer, url: at };
    }
    throw new Error(`too many redirects: ${this.visited.slice(-5).join(' ')}`);
  }

  jar(host: string): Map<string, string> {
    let jar = this.cookies.get(host);
    if (jar === undefined) {
      jar = new Map();
      this.cookies.set(host, jar);
    }
    return jar;
  }
}
