/** A fault: what is done to a gateway under load, and what it has to do then. */
import { type Findings, type Measure, residentMemory, sumOfSeries } from '../../test/faults/findings.ts';
import { endWith, type Lifetime } from '../../test/gateway/lifetime.ts';
import { Cluster } from '../cluster/cluster.ts';
import type { Gateway } from '../cluster/gateway.ts';
import type { Load } from '../cluster/load.ts';
import { ControlPlane } from '../control-plane/control-plane.ts';

/** Requests. */
const WARM_UP = 5000;
/** Where a fault happens. */
export interface Stage {
  readonly lifetime: Lifetime;
  readonly plane: Pick<ControlPlane, 'kubeconfig'>;
  readonly cluster: Cluster;
  readonly namespace: string;
  readonly measure: Measure;
  /** Says what goes on. */
  readonly tell: (what: string) => void;
}

/** One with a control plane of its own, which it may break. */
export interface OwnStage extends Stage {
  readonly plane: ControlPlane;
}

export interface Fault {
  readonly number: number;
  readonly name: string;
  /** What passing means. */
  readonly passes: string;
  run(stage: OwnStage): Promise<Findings>;
}

/** One that leaves the control plane in peace, so that others may use it meanwhile. */
export interface PeacefulFault extends Fault {
  run(stage: Stage): Promise<Findings>;
}

/** A control plane that knows our kinds. */
export async function openPlane(lifetime: Lifetime): Promise<ControlPlane> {
  const plane = await ControlPlane.start();
  endWith(lifetime, () => plane.stop());
  await plane.installCrds();
  return plane;
}

/** @param namespace that is made for it */
export async function openStage<Plane extends Stage['plane']>(
  lifetime: Lifetime,
  plane: Plane,
  namespace: string,
  measure: Measure,
  tell: Stage['tell'] = () => {},
): Promise<Stage & { readonly plane: Plane }> {
  const cluster = Cluster.open(lifetime, plane.kubeconfig);
  await cluster.api.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  return { lifetime, plane, cluster, namespace, measure, tell };
}

/** The baseline of a fault at full size: MiB once the gateway has served enough for its code to be compiled and its heaps to be of their size. */
export async function memoryWhenWarm({ measure }: Stage, gateway: Gateway, load: Load): Promise<number> {
  await load.more(measure.full ? WARM_UP : 200);
  return residentMemory(gateway);
}

/** Sum of all series of a metric, by `name` or `name{label="value"`. */
export async function sumOf(gateway: Gateway, start: string): Promise<number> {
  return sumOfSeries((await gateway.adminGet('/metrics')).body, start);
}
