/** charts/tidegate: what it renders by itself and with values. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { load } from 'js-yaml';
import { runHelm } from '../../scripts/helm.ts';
import { CHART, container, helm, type Manifest, NAMESPACE, render, root, the } from './render.ts';

const names = (objects: readonly Manifest[]): string[] => objects.map(({ kind, metadata }) => `${kind}/${metadata.name}`).sort();

describe('chart', { skip: helm.skip }, () => {
  test('is of the same version as the program', () => {
    const chart = load(readFileSync(join(root, CHART, 'Chart.yaml'), 'utf8')) as { version: string; appVersion: string };
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    assert.deepEqual([chart.version, chart.appVersion], [version, version]);
  });

  test('helm lint finds nothing', () => {
    const { code, stdout, stderr } = runHelm(helm.path ?? '', ['lint', '--strict', CHART]);
    assert.equal(code, 0, stdout + stderr);
  });

  test('without a value: all that a gateway needs', () => {
    assert.deepEqual(names(render()), [
      'ClusterRole/gateways-tidegate',
      'ClusterRoleBinding/gateways-tidegate',
      'CustomResourceDefinition/apiconsumers.tidegate.dev',
      'CustomResourceDefinition/apiroutes.tidegate.dev',
      'CustomResourceDefinition/authpolicies.tidegate.dev',
      'CustomResourceDefinition/backendpolicies.tidegate.dev',
      'CustomResourceDefinition/ratelimitpolicies.tidegate.dev',
      'Deployment/tidegate',
      'IngressClass/tidegate',
      'NetworkPolicy/tidegate',
      'PodDisruptionBudget/tidegate',
      'Role/tidegate-leader',
      'RoleBinding/tidegate-leader',
      'Service/tidegate',
      'Service/tidegate-metrics',
      'ServiceAccount/tidegate',
    ]);
  });

  test('the password of Redis comes by a file of its Secret, whose new content a pod sees without a restart', () => {
    const objects = render({ redis: { url: 'redis://redis', passwordSecret: { name: 'counters', key: 'pass' } } });
    const { args, volumeMounts } = container(objects);
    assert.ok((args as string[]).includes('--redis-password-file=/etc/tidegate/redis/pass'));
    // Not by subPath, which stays as it was when the pod started.
    assert.deepEqual(volumeMounts, [{ name: 'redis-password', mountPath: '/etc/tidegate/redis', readOnly: true }]);
  });

  test('everything is in the namespace of the release or in none, and labelled', () => {
    for (const { kind, metadata } of render({ commonLabels: { team: 'edge', 'app.kubernetes.io/name': 'mine' } })) {
      assert.ok(metadata.namespace === undefined || metadata.namespace === NAMESPACE, kind);
      assert.equal(metadata.labels?.['app.kubernetes.io/name'], 'tidegate', kind);
      assert.equal(metadata.labels?.team, 'edge', kind);
    }
  });

  test('two releases share no name but those of the class and the CRDs', () => {
    const one = names(render({}, { release: 'inner' }));
    const other = new Set(names(render({}, { release: 'outer' })));
    assert.deepEqual(
      one.filter((name) => other.has(name) && !name.startsWith('CustomResourceDefinition/')),
      ['IngressClass/tidegate'],
    );
    assert.ok(one.includes('Deployment/inner-tidegate'));
  });

  test('names of 63 characters fit', () => {
    for (const { kind, metadata } of render({}, { release: `r${'0'.repeat(52)}` }))
      if (!kind.startsWith('Cluster') && kind !== 'CustomResourceDefinition') assert.ok(metadata.name.length <= 63, `${kind} ${metadata.name}`);
  });

  test('pods: the restricted Pod Security Standard, a token where it is used, and no way to write', () => {
    const objects = render();
    const pod = the(objects, 'Deployment').spec.template.spec;
    assert.deepEqual(pod.securityContext, { runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, seccompProfile: { type: 'RuntimeDefault' } });
    assert.deepEqual(container(objects).securityContext, { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } });
    assert.equal(the(objects, 'ServiceAccount').automountServiceAccountToken, false);
    assert.equal(pod.automountServiceAccountToken, true);
    assert.equal(pod.serviceAccountName, the(objects, 'ServiceAccount').metadata.name);
    assert.equal(pod.volumes, undefined);
    for (const port of container(objects).ports) assert.ok(port.containerPort > 1024);
  });

  test('a rollout never has fewer pods than before, and waits for each new one', () => {
    const { spec } = the(render(), 'Deployment');
    assert.deepEqual(spec.strategy, { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } });
    assert.equal(spec.minReadySeconds, 5);
    assert.equal(spec.replicas, 2);
    assert.deepEqual(
      spec.template.spec.topologySpreadConstraints.map((one: Manifest) => [one.topologyKey, one.whenUnsatisfiable, one.labelSelector.matchLabels]),
      ['topology.kubernetes.io/zone', 'kubernetes.io/hostname'].map((key) => [key, 'ScheduleAnyway', spec.selector.matchLabels]),
    );
    for (const [name, value] of Object.entries(spec.selector.matchLabels)) assert.equal(spec.template.metadata.labels[name], value);
  });

  test('ports: 80 and 443 of the Service lead to 8080 and 8443, which the program listens on, as do the probes', () => {
    const objects = render();
    const { args, ports, livenessProbe, readinessProbe } = container(objects);
    const numbers = Object.fromEntries(ports.map((port: Manifest) => [port.name, port.containerPort]));
    assert.deepEqual(numbers, { http: 8080, https: 8443, admin: 9901 });
    for (const [name, number] of Object.entries(numbers)) assert.ok(args.includes(`--${name}=0.0.0.0:${number}`), `${name}: ${args.join(' ')}`);
    assert.deepEqual(
      the(objects, 'Service', 'tidegate').spec.ports.map((port: Manifest) => [port.port, port.targetPort]),
      [
        [80, 'http'],
        [443, 'https'],
      ],
    );
    assert.deepEqual(livenessProbe.httpGet, { path: '/healthz', port: 'admin', scheme: 'HTTP' });
    assert.deepEqual(readinessProbe.httpGet, { path: '/readyz', port: 'admin', scheme: 'HTTP' });
    const v6 = container(render({ listenAddress: '[::]' })).args;
    assert.ok(['--http=[::]:8080', '--https=[::]:8443', '--admin=[::]:9901'].every((arg) => v6.includes(arg)));
  });

  test('the admin port is nobody’s but the kubelet’s, until somebody is named', () => {
    const { spec } = the(render(), 'NetworkPolicy');
    assert.deepEqual(spec.policyTypes, ['Ingress']);
    assert.deepEqual(
      spec.ingress.map((rule: Manifest) => rule.ports.map((port: Manifest) => port.port)),
      [['http', 'https']],
    );
    const from = [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } } }];
    const named = the(render({ 'networkPolicy.adminFrom': from }), 'NetworkPolicy').spec.ingress;
    assert.deepEqual(named[1], { ports: [{ port: 'admin', protocol: 'TCP' }], from });
    assert.ok(!names(render({ 'networkPolicy.enabled': false })).some((name) => name.startsWith('NetworkPolicy')));
  });

  test('the grace period follows the drain', () => {
    const grace = (values: object): number => the(render(values), 'Deployment').spec.template.spec.terminationGracePeriodSeconds;
    assert.equal(grace({}), 40);
    assert.equal(grace({ drainTimeout: '1m30s500ms' }), 101);
    assert.equal(grace({ drainTimeout: '2h', preStopSleepSeconds: 20 }), 7230);
    assert.equal(grace({ terminationGracePeriodSeconds: 300 }), 300);
    const objects = render({ preStopSleepSeconds: 7, drainDelay: '1s', drainTimeout: '2s' });
    assert.deepEqual(container(objects).lifecycle, { preStop: { sleep: { seconds: 7 } } });
    assert.ok(container(objects).args.includes('--drain-delay=1s') && container(objects).args.includes('--drain-timeout=2s'));
    assert.equal(container(render()).lifecycle, undefined);
  });

  test('flags by value', () => {
    const { args, env } = container(
      render({
        workers: 3,
        watchNamespaces: ['shop', 'blog'],
        trustedProxies: ['10.0.0.0/8', '2001:db8::/32'],
        defaultCertificate: 'gateways/default-tls',
        allowExternalName: true,
        allowLoopbackFetch: true,
        'ingressClass.name': 'edge',
        logLevel: 'debug',
        accessLog: 'off',
        h2c: false,
        extraArgs: ['--wire=stream'],
        extraEnv: [{ name: 'NODE_OPTIONS', value: '--max-old-space-size=512' }],
      }),
    );
    for (const arg of [
      '--workers=3',
      '--watch-namespace=shop,blog',
      '--trusted-proxies=10.0.0.0/8,2001:db8::/32',
      '--default-certificate=gateways/default-tls',
      '--allow-external-name',
      '--allow-loopback-fetch',
      '--ingress-class=edge',
      '--log-level=debug',
      '--access-log=off',
      '--h2c=off',
      '--wire=stream',
      `--publish-service=${NAMESPACE}/tidegate`,
    ])
      assert.ok(args.includes(arg), `${arg}: ${args.join(' ')}`);
    assert.equal(args[0], 'serve');
    assert.deepEqual(
      env.map((variable: Manifest) => [variable.name, variable.valueFrom?.fieldRef.fieldPath ?? variable.value]),
      [
        ['POD_NAME', 'metadata.name'],
        ['POD_NAMESPACE', 'metadata.namespace'],
        ['NODE_OPTIONS', '--max-old-space-size=512'],
      ],
    );
  });

  test('where Ingresses say that they are served', () => {
    const published = (values: object): string[] => container(render(values)).args.filter((arg: string) => arg.startsWith('--publish'));
    assert.deepEqual(published({ 'publish.addresses': ['192.0.2.1', 'lb.example.com'] }), ['--publish-address=192.0.2.1,lb.example.com']);
    assert.deepEqual(published({ 'publish.serviceOverride': 'edge/lb' }), ['--publish-service=edge/lb']);
    assert.deepEqual(published({ 'publish.service': false }), []);
    assert.deepEqual(published({ 'service.enabled': false }), []);
  });

  test('a DaemonSet with ports of the node', () => {
    const objects = render({ kind: 'DaemonSet', hostPorts: { http: 80, https: 443 }, 'service.enabled': false });
    const { spec } = the(objects, 'DaemonSet');
    assert.equal(spec.replicas, undefined);
    assert.deepEqual(spec.updateStrategy, { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } });
    assert.deepEqual(
      container(objects).ports.map((port: Manifest) => port.hostPort),
      [80, 443, undefined],
    );
    assert.deepEqual(the(render({ kind: 'DaemonSet' }), 'DaemonSet').spec.updateStrategy.rollingUpdate, { maxUnavailable: 0, maxSurge: 1 });
    assert.ok(!names(objects).includes('Deployment/tidegate'));
    const host = the(render({ hostNetwork: true }), 'Deployment').spec.template.spec;
    assert.deepEqual([host.hostNetwork, host.dnsPolicy], [true, 'ClusterFirstWithHostNet']);
  });

  test('the Service by value', () => {
    const service = the(
      render({
        service: {
          annotations: { 'example.com/lb': 'internal' },
          labels: { tier: 'edge' },
          loadBalancerClass: 'example.com/lb',
          loadBalancerSourceRanges: ['192.0.2.0/24'],
          externalTrafficPolicy: 'Local',
          ipFamilyPolicy: 'PreferDualStack',
          nodePorts: { http: 30080 },
        },
      }),
      'Service',
      'tidegate',
    );
    assert.deepEqual(service.metadata.annotations, { 'example.com/lb': 'internal' });
    assert.equal(service.metadata.labels?.tier, 'edge');
    const { type, loadBalancerClass, loadBalancerSourceRanges, externalTrafficPolicy, ipFamilyPolicy, ports } = service.spec;
    assert.deepEqual(
      [type, loadBalancerClass, loadBalancerSourceRanges, externalTrafficPolicy, ipFamilyPolicy, ports[0].nodePort, ports[1].nodePort],
      ['LoadBalancer', 'example.com/lb', ['192.0.2.0/24'], 'Local', 'PreferDualStack', 30080, undefined],
    );
  });

  test('autoscaling owns the number of replicas', () => {
    const objects = render({ autoscaling: { enabled: true, maxReplicas: 20, targetMemoryUtilizationPercentage: 80 } });
    assert.equal(the(objects, 'Deployment').spec.replicas, undefined);
    const { scaleTargetRef, minReplicas, maxReplicas, metrics } = the(objects, 'HorizontalPodAutoscaler').spec;
    assert.deepEqual(scaleTargetRef, { apiVersion: 'apps/v1', kind: 'Deployment', name: 'tidegate' });
    assert.deepEqual([minReplicas, maxReplicas], [2, 20]);
    assert.deepEqual(
      metrics.map((metric: Manifest) => [metric.resource.name, metric.resource.target.averageUtilization]),
      [
        ['memory', 80],
        ['cpu', 70],
      ],
    );
  });

  test('a ServiceMonitor finds the Service of the admin port, and no other', () => {
    const objects = render({
      'metrics.serviceMonitor': { enabled: true, namespace: 'monitoring', interval: '1m30s', labels: { release: 'prometheus' } },
      'networkPolicy.adminFrom': [{ namespaceSelector: {} }],
    });
    const monitor = the(objects, 'ServiceMonitor');
    assert.deepEqual([monitor.metadata.namespace, monitor.metadata.labels?.release], ['monitoring', 'prometheus']);
    assert.deepEqual(monitor.spec.namespaceSelector.matchNames, [NAMESPACE]);
    const selected = objects.filter(
      ({ kind, metadata }) =>
        kind === 'Service' && Object.entries(monitor.spec.selector.matchLabels).every(([name, value]) => metadata.labels?.[name] === value),
    );
    assert.deepEqual(names(selected), ['Service/tidegate-metrics']);
    assert.deepEqual(
      selected[0]?.spec.ports.map((port: Manifest) => port.name),
      [monitor.spec.endpoints[0].port],
    );
  });

  test('the disruption budget', () => {
    assert.equal(the(render(), 'PodDisruptionBudget').spec.maxUnavailable, 1);
    const { spec } = the(render({ podDisruptionBudget: { minAvailable: '50%', maxUnavailable: null } }), 'PodDisruptionBudget');
    assert.deepEqual([spec.minAvailable, spec.maxUnavailable], ['50%', undefined]);
    // The API server counts pods for it by the scale of their owner, which a DaemonSet has not, and would let none go.
    assert.ok(!names(render({ kind: 'DaemonSet' })).some((name) => name.startsWith('PodDisruptionBudget')));
  });

  test('the class', () => {
    const { metadata, spec } = the(render(), 'IngressClass');
    assert.deepEqual([spec, metadata.annotations], [{ controller: 'tidegate.dev/ingress-controller' }, undefined]);
    const byValue = the(render({ ingressClass: { isDefault: true, name: 'edge' } }), 'IngressClass');
    assert.deepEqual([byValue.metadata.name, byValue.metadata.annotations], ['edge', { 'ingressclass.kubernetes.io/is-default-class': 'true' }]);
    assert.ok(!names(render({ 'ingressClass.create': false })).includes('IngressClass/tidegate'));
  });

  test('pods by value', () => {
    const { metadata, spec } = the(
      render({
        podLabels: { team: 'edge', 'app.kubernetes.io/name': 'other' },
        podAnnotations: { note: 'x' },
        imagePullSecrets: [{ name: 'pull' }],
        image: { repository: 'registry.example.com/tidegate', digest: `sha256:${'a'.repeat(64)}` },
        priorityClassName: 'system-cluster-critical',
        nodeSelector: { 'kubernetes.io/os': 'linux' },
        tolerations: [{ operator: 'Exists' }],
        affinity: { nodeAffinity: {} },
        topologySpreadConstraints: [{ topologyKey: 'rack', maxSkew: 1, whenUnsatisfiable: 'DoNotSchedule' }],
        resources: { limits: { cpu: '2' } },
      }),
      'Deployment',
    ).spec.template;
    assert.deepEqual([metadata.labels.team, metadata.labels['app.kubernetes.io/name'], metadata.annotations], ['edge', 'tidegate', { note: 'x' }]);
    assert.deepEqual(spec.imagePullSecrets, [{ name: 'pull' }]);
    assert.equal(spec.containers[0].image, `registry.example.com/tidegate@sha256:${'a'.repeat(64)}`);
    assert.equal(spec.priorityClassName, 'system-cluster-critical');
    assert.deepEqual([spec.nodeSelector, spec.tolerations, spec.affinity], [{ 'kubernetes.io/os': 'linux' }, [{ operator: 'Exists' }], { nodeAffinity: {} }]);
    assert.equal(spec.topologySpreadConstraints[0].topologyKey, 'rack');
    assert.equal(spec.topologySpreadConstraints[0].labelSelector.matchLabels['app.kubernetes.io/name'], 'tidegate');
    assert.deepEqual(spec.containers[0].resources, { requests: { cpu: '250m', memory: '256Mi' }, limits: { cpu: '2', memory: '1Gi' } });
  });

  test('CRDs are part of the release, as crds/ has them, and outlive it', () => {
    const crds = render().filter(({ kind }) => kind === 'CustomResourceDefinition');
    const files = readdirSync(join(root, 'crds')).map((name) => load(readFileSync(join(root, 'crds', name), 'utf8')) as Manifest);
    assert.deepEqual(
      crds.map((crd) => [crd.metadata.name, crd.spec]),
      files.map((crd) => [crd.metadata.name, crd.spec]),
    );
    for (const [index, crd] of crds.entries()) {
      assert.equal(crd.metadata.annotations?.['helm.sh/resource-policy'], 'keep');
      for (const [name, value] of Object.entries(files[index]?.metadata.labels ?? {})) assert.equal(crd.metadata.labels?.[name], value);
    }
    assert.equal(
      render({ 'crds.install': false }).find(({ kind }) => kind === 'CustomResourceDefinition'),
      undefined,
    );
    assert.equal(the(render({ 'crds.keep': false }), 'CustomResourceDefinition', 'apiroutes.tidegate.dev').metadata.annotations, undefined);
  });
});
