import { HostTable } from '../../router/host-table.ts';
import type { Passthrough, PassthroughRoute } from '../../snapshot/tls.ts';
import type { PassthroughCounts, PassthroughMetrics } from '../../telemetry/passthrough-metrics.ts';
import { BackendPicker, type UpstreamLookup } from '../../upstream/backend-picker.ts';

/** A passthrough route as one worker runs it. */
export interface CompiledPassthrough {
  readonly route: PassthroughRoute;
  readonly picker: BackendPicker;
  readonly counts: PassthroughCounts;
}

/** TLS for a host is the gateway's own. */
const TERMINATED = Symbol('terminated');

type Level = CompiledPassthrough | typeof TERMINATED;

/** Which connections are passed through, by the server name that they ask for. */
export class ServerNames {
  static readonly NONE = new ServerNames(HostTable.empty(), true);
  /** Nothing is passed through. */
  readonly isEmpty: boolean;
  readonly #table: HostTable<Level>;

  private constructor(table: HostTable<Level>, isEmpty: boolean) {
    this.#table = table;
    this.isEmpty = isEmpty;
  }

  /** @param upstreams has those of the routes already */
  static compile({ routes, terminated }: Passthrough, upstreams: UpstreamLookup, metrics: PassthroughMetrics): ServerNames {
    metrics.keep(new Set(routes.map(({ id }) => id)));
    if (routes.length === 0) return ServerNames.NONE;
    const levels = routes.flatMap((route) => {
      const level: Level = { route, picker: new BackendPicker(route.backends, upstreams), counts: metrics.route(route.id) };
      return route.hosts.map((host) => ({ host, level }));
    });
    const steps = HostTable.empty<Level>().changed([...levels, ...terminated.map((host) => ({ host, level: TERMINATED }) as const)]);
    // They are few, however many routes there are of other kinds.
    let step = steps.next();
    while (step.done !== true) step = steps.next();
    return new ServerNames(step.value, false);
  }

  /**
   * The route of the most specific host: an exact one, else the longest wildcard; undefined where TLS is ours.
   * @param serverName lower-case; '': the client names none
   */
  find(serverName: string): CompiledPassthrough | undefined {
    if (this.isEmpty || serverName === '') return undefined;
    const level = this.#table.levels(serverName)[0];
    return level === TERMINATED ? undefined : level;
  }
}
