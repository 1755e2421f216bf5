/** Manifests with limits of scope Global, and what tests of them ask. */
import { setTimeout as sleep } from 'node:timers/promises';
import { PATIENCE } from '../gateway/lifetime.ts';
import { apiRoute } from '../gateway/manifests.ts';

/** An ApiRoute for `/NAME` that answers by itself. */
export function limitedRoute(name: string): string {
  return apiRoute(
    name,
    `  rules: [{ matches: [{ path: { type: PathPrefix, value: /${name} } }], filters: { directResponse: { statusCode: 200, body: ok } } }]`,
  );
}

/** @param limits each as YAML @param name its own; that of the route where it is left out */
export function globalPolicy(route: string, onStoreFailure: 'Allow' | 'Deny' | 'Local', limits: readonly string[], name = route): string {
  return `---
apiVersion: tidegate.dev/v1alpha1
kind: RateLimitPolicy
metadata: { name: ${name}, namespace: default }
spec:
  targetRefs: [{ group: tidegate.dev, kind: ApiRoute, name: ${route} }]
  scope: Global
  onStoreFailure: ${onStoreFailure}
  limits:
${limits.map((limit) => `    - ${limit}\n`).join('')}`;
}

/** The sum of all series of a metric whose labels fit. */
export function sumOf(metrics: string, name: string, labels = /^/): number {
  let sum = 0;
  for (const line of metrics.split('\n')) {
    const match = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (match?.[1] === name && labels.test(match[2] ?? '')) sum += Number(match[3]);
  }
  return sum;
}

/** @throws (rejects) when it does not come true */
export async function until(isTrue: () => Promise<boolean>): Promise<void> {
  for (const deadline = performance.now() + PATIENCE; !(await isTrue()); await sleep(20)) {
    if (performance.now() > deadline) throw new Error(`not within ${PATIENCE} ms: ${isTrue}`);
  }
}
