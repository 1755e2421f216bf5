import { increment } from './counts.ts';
import { counter, type MetricFamily, type MetricSample } from './metric-family.ts';

/** What a worker counts of the connections that one route passes through. */
export interface PassthroughCounts {
  /** Connections that are over, by what ended them; `ended`: they did so by themselves. */
  readonly results: Map<string, number>;
  /** Bytes from clients and to them, of open connections too. */
  received: number;
  sent: number;
}

/** What a worker counts of connections that are passed through. */
export class PassthroughMetrics {
  readonly #routes = new Map<string, PassthroughCounts>();

  /** The counters of a route; the same object for the same id, also over reloads. */
  route(id: string): PassthroughCounts {
    let counts = this.#routes.get(id);
    if (counts === undefined) {
      counts = { results: new Map(), received: 0, sent: 0 };
      this.#routes.set(id, counts);
    }
    return counts;
  }

  /** Forgets all other routes. What their last connections still count is nobody's. */
  keep(ids: ReadonlySet<string>): void {
    for (const id of this.#routes.keys()) if (!ids.has(id)) this.#routes.delete(id);
  }

  families(): MetricFamily[] {
    const connections: MetricSample[] = [];
    const bytes: MetricSample[] = [];
    for (const [route, { results, received, sent }] of this.#routes) {
      for (const [result, value] of results) connections.push({ labels: { route, result }, value });
      if (received + sent === 0) continue;
      bytes.push({ labels: { route, direction: 'received' }, value: received }, { labels: { route, direction: 'sent' }, value: sent });
    }
    return [
      counter('tidegate_passthrough_connections_total', 'Connections passed through that are over, by route and what ended them.', connections),
      counter('tidegate_passthrough_bytes_total', 'Bytes of connections passed through, from clients (received) and to them (sent), by route.', bytes),
    ];
  }
}

/** @param reason as in the log; '': the connection ended by itself */
export function countEnd({ results }: PassthroughCounts, reason: string): void {
  increment(results, reason || 'ended', 1);
}
