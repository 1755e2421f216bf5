/** The chart as `helm template` renders it, parsed. */
import { join } from 'node:path';
import { loadAll } from 'js-yaml';
import { findHelm, HelmMissing, type HelmResult, KUBERNETES_VERSION, runHelm } from '../../scripts/helm.ts';

export const CHART = 'charts/tidegate';
export const NAMESPACE = 'gateways';

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  // biome-ignore lint/suspicious/noExplicitAny: the tests look into objects of any kind.
  readonly [field: string]: any;
}

/** Path of helm, or why every test that needs it is skipped. */
export const helm: { readonly path: string; readonly skip: false } | { readonly path: undefined; readonly skip: string } = (() => {
  try {
    return { path: findHelm(), skip: false as const };
  } catch (error) {
    if (!(error instanceof HelmMissing)) throw error;
    return { path: undefined, skip: error.message };
  }
})();

export interface RenderOptions {
  readonly release?: string;
  readonly namespace?: string;
  readonly kubeVersion?: string;
}

/** Runs `helm template`, whatever comes of it. @param values as a values file would hold them */
export function template(values: object = {}, options: RenderOptions = {}): HelmResult {
  const { release = 'tidegate', namespace = NAMESPACE, kubeVersion = KUBERNETES_VERSION } = options;
  const sets = Object.entries(values).flatMap(([name, value]) => ['--set-json', `${name}=${JSON.stringify(value)}`]);
  return runHelm(helm.path ?? 'helm', ['template', release, CHART, '--namespace', namespace, '--kube-version', kubeVersion, ...sets]);
}

/**
 * @returns the objects that the chart makes of the values
 * @throws with what helm said
 */
export function render(values: object = {}, options: RenderOptions = {}): readonly Manifest[] {
  const { code, stdout, stderr } = template(values, options);
  if (code !== 0) throw new Error(stderr);
  return (loadAll(stdout) as (Manifest | null)[]).filter((object) => object !== null);
}

/** The one object of a kind, with this name when there are several. */
export function the(objects: readonly Manifest[], kind: string, name?: string): Manifest {
  const found = objects.filter((object) => object.kind === kind && (name === undefined || object.metadata.name === name));
  if (found.length !== 1) throw new Error(`${found.length} objects of kind ${kind} ${name ?? ''}`);
  return found[0] as Manifest;
}

/** The gateway's container, of a Deployment or DaemonSet. */
export function container(objects: readonly Manifest[]): Manifest {
  const workload = objects.find(({ kind }) => kind === 'Deployment' || kind === 'DaemonSet');
  return workload?.spec.template.spec.containers[0];
}

export const root = join(import.meta.dirname, '../..');
