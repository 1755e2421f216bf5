/**
 * Writes manifests/install.yaml, the chart for whoever has no Helm: `node scripts/install-manifest.ts`. What the chart
 * renders without a value, in a namespace that the manifest brings along, less what only Helm's own objects say.
 * test/chart/install-manifest.test.ts fails on drift.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dump, loadAll } from 'js-yaml';
import { findHelm, HelmMissing, KUBERNETES_VERSION, runHelm } from './helm.ts';

export const NAMESPACE = 'tidegate-system';
export const FILE = join(import.meta.dirname, '../manifests/install.yaml');

interface Rendered {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Record<string, string> };
}

/**
 * @param helm path of the program
 * @returns the text of manifests/install.yaml
 */
export function renderInstallManifest(helm: string): string {
  const args = ['template', 'tidegate', 'charts/tidegate', '--namespace', NAMESPACE, '--kube-version', KUBERNETES_VERSION, '--set', 'crds.keep=false'];
  const { code, stdout, stderr } = runHelm(helm, args);
  if (code !== 0) throw new Error(stderr);
  const objects = (loadAll(stdout) as (Rendered | null)[]).filter((object) => object !== null);
  for (const { metadata } of objects) {
    delete metadata.labels?.['helm.sh/chart'];
    delete metadata.labels?.['app.kubernetes.io/managed-by'];
  }
  const namespace = {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name: NAMESPACE,
      labels: { 'app.kubernetes.io/part-of': 'tidegate', 'pod-security.kubernetes.io/enforce': 'restricted' },
    },
  };
  const documents = [namespace, ...objects].map((object) => dump(object, { lineWidth: 120, noRefs: true }));
  return `# Tidegate in a cluster: kubectl apply --server-side -f manifests/install.yaml\n# Rendered by "make install-manifest" from charts/tidegate: change the chart, not this file.\n${documents.join('---\n')}`;
}

if (import.meta.main) {
  try {
    writeFileSync(FILE, renderInstallManifest(findHelm()));
  } catch (error) {
    if (!(error instanceof HelmMissing)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}
