/** The admin port: health, metrics and debugging. Not on any hot path, so it stands on node:http. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

// An import would have Node.js load undici, see problem.ts in exchange/.
const { createServer } = process.getBuiltinModule('node:http');

export interface AdminAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** What the admin port tells; each is asked anew for every request. */
export interface AdminViews {
  ready(): { readonly ready: boolean; readonly reason: string };
  metrics(): Promise<AdminAnswer>;
  /** The snapshot in force with secrets redacted, as a JSON-able value. */
  snapshot(): unknown;
  /** @throws {BadQuery} when method or url are missing or malformed */
  explain(query: URLSearchParams): { readonly json: unknown; readonly text: string };
  /** @returns how many answers were removed, from all workers */
  purge(purge: Purge): number;
}

/** A purge of stored answers: of a host (with its port, or any), of a path, or of both; `path` with a `*` at its end is a beginning. */
export interface Purge {
  readonly host: string | undefined;
  readonly path: string | undefined;
}

/** A query of the admin port that can't be answered; its message tells the user what would be right. */
export class BadQuery extends Error {}

export class AdminServer {
  readonly #server: Server;

  constructor(views: AdminViews, log: (error: unknown) => void) {
    this.#server = createServer({ requestTimeout: 30_000, headersTimeout: 10_000 }, (request, response) => {
      answer(views, request).then(
        (result) => send(response, result),
        (error) => {
          log(error);
          send(response, text(500, 'internal error'));
        },
      );
    });
  }

  /** @throws (rejects) with the system's error, such as EADDRINUSE @returns the port, which differs from the one asked for when that was 0 */
  async listen(host: string, port: number): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, () => {
        this.#server.removeListener('error', reject);
        // A connection that could not be accepted concerns its client alone; that file descriptors run out is the listeners' to tell.
        this.#server.on('error', () => {});
        resolve();
      });
    });
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

async function answer(views: AdminViews, request: IncomingMessage): Promise<AdminAnswer> {
  const url = URL.parse(request.url ?? '/', 'http://admin');
  if (url === null) return text(400, 'malformed URL');
  if (url.pathname === '/cache/purge') return purge(views, request, url.searchParams);
  if (request.method !== 'GET' && request.method !== 'HEAD') return text(405, 'only GET and HEAD');
  switch (url.pathname) {
    case '/healthz':
      return text(200, 'ok');
    case '/readyz': {
      const { ready, reason } = views.ready();
      return text(ready ? 200 : 503, ready ? 'ok' : reason);
    }
    case '/metrics':
      return views.metrics();
    case '/debug/snapshot':
      return json(200, views.snapshot());
    case '/debug/explain':
      try {
        const explained = views.explain(url.searchParams);
        return wantsText(request, url) ? text(200, explained.text) : json(200, explained.json);
      } catch (error) {
        if (error instanceof BadQuery) return text(400, error.message);
        throw error;
      }
    default:
      return text(404, 'not found; there are /healthz, /readyz, /metrics, /debug/snapshot, /debug/explain?method=&url= and POST /cache/purge?host=&path=');
  }
}

const PURGE_USAGE = 'purge needs ?host=shop.example.com, path=/a (or path=/a/* for what begins so), or both; all=true purges everything';

function purge(views: AdminViews, request: IncomingMessage, query: URLSearchParams): AdminAnswer {
  if (request.method !== 'POST') return text(405, 'only POST');
  const host = query.get('host') || undefined;
  const path = query.get('path') || undefined;
  const unknown = [...query.keys()].find((name) => !['host', 'path', 'all'].includes(name));
  // What was meant for one page must not take all for a typing mistake.
  if (unknown !== undefined || (host === undefined && path === undefined && query.get('all') !== 'true')) return text(400, PURGE_USAGE);
  if (path !== undefined && !path.startsWith('/')) return text(400, `the path "${path}" does not begin with /; ${PURGE_USAGE}`);
  return json(200, { purged: views.purge({ host, path }) });
}

function wantsText(request: IncomingMessage, url: URL): boolean {
  return url.searchParams.get('output') === 'text' || (request.headers.accept ?? '').startsWith('text/plain');
}

function text(status: number, body: string): AdminAnswer {
  return { status, contentType: 'text/plain; charset=utf-8', body: `${body}\n` };
}

/** Maps become objects, and secrets show themselves redacted. */
function json(status: number, value: unknown): AdminAnswer {
  const body = JSON.stringify(value, (_key, part: unknown) => (part instanceof Map ? Object.fromEntries(part) : part), 2);
  return { status, contentType: 'application/json', body: `${body}\n` };
}

function send(response: ServerResponse, { status, contentType, body }: AdminAnswer): void {
  response.writeHead(status, { 'content-type': contentType, 'content-length': Buffer.byteLength(body), 'cache-control': 'no-store' });
  response.end(body);
}
