import { randomUUID } from 'node:crypto';
import { availableParallelism, hostname } from 'node:os';
import { Command } from 'commander';
import type { GatewayOptions } from '../src/gateway/options.ts';
import { StartError } from '../src/gateway/start-checks.ts';
import { parseRedisUrl, RedisUrlError } from '../src/redis/redis-settings.ts';
import { CACHE, DRAIN } from '../src/snapshot/defaults.ts';
import type { PublishedAddress } from '../src/status/published-address.ts';
import { parametersFlaw, SUITES, TLS_PARAMETERS, type TlsParameters, type TlsVersion, VERSIONS } from '../src/wire/secure-context.ts';
import { EXIT } from './exit-codes.ts';
import {
  flag,
  parseAddress,
  parseBytes,
  parseCidrs,
  parseCollector,
  parseConcurrency,
  parseConnections,
  parseDurationFlag,
  parseNamespacedName,
  parseNamespaces,
  parsePublishedAddresses,
  parsePublishedService,
  parseRatio,
  parseSuites,
  parseWorkers,
  parseZone,
} from './flags.ts';
import { version } from './version.ts';

interface ServeFlags extends Omit<GatewayOptions, 'source' | 'tls' | 'tracing' | 'redis'> {
  readonly otlpEndpoint?: string;
  readonly traceRatio: number;
  readonly manifests?: string;
  readonly kubeconfig?: string;
  readonly watchNamespace: readonly string[];
  readonly publishService?: { readonly namespace: string; readonly name: string };
  readonly publishAddress?: readonly PublishedAddress[];
  readonly tlsMinVersion: TlsVersion;
  readonly tlsMaxVersion: TlsVersion;
  readonly tlsCiphers: readonly string[];
  readonly redis?: string;
  readonly redisPasswordFile?: string;
  readonly logLevel: string;
}

export function serveCommand(): Command {
  return new Command('serve')
    .description('serve traffic by the objects of a cluster, or by the manifests of a folder, with every edit live')
    .addOption(flag('--manifests <dir>', 'folder of *.yaml, *.yml and *.json, in place of a cluster'))
    .addOption(flag('--kubeconfig <file>', "the cluster's API server and who we are to it; in a pod its ServiceAccount says so"))
    .addOption(flag('--watch-namespace <namespaces>', 'only these, several with commas or by repetition').argParser(parseNamespaces).default([], 'all'))
    .addOption(flag('--http <host:port>', 'plain listener').argParser(parseAddress).default(parseAddress('0.0.0.0:8080'), '0.0.0.0:8080'))
    .addOption(flag('--https <host:port>', 'TLS listener').argParser(parseAddress).default(parseAddress('0.0.0.0:8443'), '0.0.0.0:8443'))
    .addOption(flag('--admin <host:port>', 'health, metrics, debugging').argParser(parseAddress).default(parseAddress('127.0.0.1:9901'), '127.0.0.1:9901'))
    .addOption(flag('--workers <n>', 'worker threads').argParser(parseWorkers).default(availableParallelism(), 'cores'))
    .addOption(flag('--ingress-class <name>', 'class that is ours where no IngressClass object is').default('tidegate'))
    .addOption(flag('--publish-service <ns/name>', 'Service whose addresses Ingresses get as theirs').argParser(parsePublishedService))
    .addOption(flag('--publish-address <addresses>', 'what Ingresses get, IP or host name, several with commas').argParser(parsePublishedAddresses))
    .addOption(flag('--trusted-proxies <cidrs>', 'peers whose forwarding fields are believed').argParser(parseCidrs).default([], 'none'))
    .addOption(flag('--proxy-protocol', 'connections of trusted proxies begin with a PROXY header, version 1 or 2; on both ports'))
    .addOption(flag('--zone <name>', "the pod's zone, for topology hints and zoneAware").argParser(parseZone).default('', 'unknown'))
    .addOption(flag('--default-certificate <ns/name>', 'Secret for unknown server names; else self-signed').argParser(parseNamespacedName))
    .addOption(flag('--allow-external-name', 'take Services with spec.externalName'))
    .addOption(flag('--allow-loopback-fetch', 'URLs that policies name may lead to this machine; with --manifests they always may'))
    .addOption(
      flag('--drain-delay <duration>', 'after SIGTERM, how long connections are still taken')
        .argParser(parseDurationFlag)
        .default(DRAIN.delay, `${DRAIN.delay / 1000}s`),
    )
    .addOption(
      flag('--drain-timeout <duration>', 'after SIGTERM, when to exit at the latest')
        .argParser(parseDurationFlag)
        .default(DRAIN.timeout, `${DRAIN.timeout / 1000}s`),
    )
    .addOption(
      flag('--max-concurrency <n>', 'requests under way, beyond which 503: auto (what workers keep up with), a number for the pod, or off')
        .argParser(parseConcurrency)
        .default('auto'),
    )
    .addOption(
      flag('--max-connections-per-client <n>', 'open connections of one client address, trusted proxies excepted; 0: no limit')
        .argParser(parseConnections)
        .default(0, 'no limit'),
    )
    .addOption(flag('--redis <url>', 'where replicas count limits of scope Global: redis[s]://user:pass@host:port, several host:port with commas'))
    .addOption(flag('--redis-password-file <file>', 'password for --redis, read anew for each connection'))
    .addOption(flag('--cache-memory <bytes>', 'for stored answers of routes with a cache').argParser(parseBytes).default(CACHE.memory, '128MiB'))
    .addOption(flag('--affinity-key-file <file>', 'secret of session affinity cookies, the same for all replicas; else made of UIDs'))
    .addOption(flag('--h2c <mode>', 'HTTP/2 by prior knowledge on the plain listener').choices(['on', 'off']).default('on'))
    .addOption(flag('--tls-min-version <version>', 'oldest that clients may speak').choices(VERSIONS).default(TLS_PARAMETERS.minVersion))
    .addOption(flag('--tls-max-version <version>', 'newest that clients may speak').choices(VERSIONS).default(TLS_PARAMETERS.maxVersion))
    .addOption(
      flag('--tls-ciphers <suites>', 'cipher suites for clients, by preference, several with commas')
        .argParser(parseSuites)
        .default(SUITES, 'all with ECDHE and AEAD'),
    )
    .addOption(flag('--otlp-endpoint <url>', 'OpenTelemetry collector that spans go to, by OTLP over HTTP; else none are recorded').argParser(parseCollector))
    .addOption(flag('--trace-ratio <ratio>', 'share of the traces that are recorded, where no trusted proxy has decided').argParser(parseRatio).default(0.01))
    .addOption(flag('--wire <kind>', 'how sockets are driven').choices(['auto', 'stream', 'handle']).default('auto'))
    .addOption(flag('--log-level <level>', 'of the log on standard error').choices(['debug', 'info', 'warn', 'error']).default('info'))
    .addOption(flag('--access-log <target>', 'stdout, off, or a file to append to').default('stdout'))
    .action(serve);
}

/** Where objects come from. Wrong usage ends the program here. */
function sourceOf(flags: ServeFlags, command: Command): GatewayOptions['source'] {
  const { manifests, kubeconfig, watchNamespace, publishService, publishAddress } = flags;
  if (manifests !== undefined) {
    if (kubeconfig !== undefined) command.error('error: --manifests and --kubeconfig exclude each other. leave one of them out.');
    if (watchNamespace.length > 0) command.error('error: --watch-namespace is for a cluster, and --manifests is given. leave one of them out.');
    for (const [name, value] of Object.entries({ service: publishService, address: publishAddress })) {
      if (value !== undefined) command.error(`error: --publish-${name} is for a cluster, and --manifests is given. leave one of them out.`);
    }
    return { manifests };
  }
  if (publishService !== undefined && publishAddress !== undefined) {
    command.error('error: --publish-service and --publish-address exclude each other. leave one of them out.');
  }
  const publish = publishService !== undefined ? { service: publishService } : publishAddress !== undefined ? { addresses: publishAddress } : undefined;
  // What the pod's manifest has to pass on.
  const { POD_NAME: pod, POD_NAMESPACE: ownNamespace } = process.env;
  const identity = `${pod || hostname()}_${randomUUID().slice(0, 8)}`;
  const rest = { namespaces: watchNamespace, publish, identity, ownNamespace: ownNamespace || undefined };
  if (kubeconfig !== undefined) return { cluster: { kubeconfig }, ...rest };
  // What every container of a pod is told.
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
  if (host === undefined || host === '' || port === undefined || port === '') {
    command.error('error: nothing says where objects come from. give --manifests DIR or --kubeconfig FILE, or run in a pod.');
  }
  return { cluster: { host, port }, ...rest };
}

/** OpenTelemetry's names for who we are. */
function traceResource(): Record<string, string> {
  const { POD_NAME: pod, POD_NAMESPACE: namespace } = process.env;
  return {
    'service.name': 'tidegate',
    'service.version': version,
    'service.instance.id': pod || hostname(),
    ...(namespace ? { 'k8s.namespace.name': namespace } : {}),
    ...(pod ? { 'k8s.pod.name': pod } : {}),
  };
}

/** Wrong usage ends the program here. */
function tlsOf({ tlsMinVersion: minVersion, tlsMaxVersion: maxVersion, tlsCiphers: suites }: ServeFlags, command: Command): TlsParameters {
  const parameters = { minVersion, maxVersion, suites };
  const flaw = parametersFlaw(parameters);
  if (flaw !== undefined) command.error(`error: --tls-min-version, --tls-max-version and --tls-ciphers: ${flaw}.`);
  return parameters;
}

/** The password is in the URL, so what is wrong with it is said without it. Wrong usage ends the program here. */
function redisOf({ redis, redisPasswordFile }: ServeFlags, command: Command): Pick<GatewayOptions, 'redis'> {
  if (redis === undefined) {
    if (redisPasswordFile !== undefined) command.error('error: --redis-password-file is given without --redis. give --redis URL.');
    return {};
  }
  try {
    return { redis: parseRedisUrl(redis, redisPasswordFile) };
  } catch (error) {
    if (!(error instanceof RedisUrlError)) throw error;
    return command.error(`error: --redis: ${error.message}.`);
  }
}

async function serve(flags: ServeFlags, command: Command): Promise<void> {
  const tls = tlsOf(flags, command);
  const redis = redisOf(flags, command);
  const source = sourceOf(flags, command);
  const { logLevel, otlpEndpoint, traceRatio, redis: _redis, redisPasswordFile: _file, ...options } = flags;
  const tracing = otlpEndpoint === undefined ? undefined : { endpoint: otlpEndpoint, ratio: traceRatio, version, resource: traceResource() };
  // Loaded when it is called, as in validate.
  const [{ Gateway }, { pino }] = await Promise.all([import('../src/gateway/gateway.ts'), import('pino')]);
  const log = pino(
    { level: logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (level) => ({ level }) } },
    pino.destination({ fd: 2, sync: true }),
  );
  const onFault = (error: unknown): void => {
    log.fatal({ error: error instanceof Error ? error.stack : String(error) }, 'internal error');
    process.exit(EXIT.fault);
  };
  process.on('uncaughtException', onFault);
  process.on('unhandledRejection', onFault);
  const gateway = new Gateway({ ...options, ...redis, source, tls, tracing }, log);
  let draining = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (draining) process.exit(EXIT.good);
    draining = true;
    log.info({ signal }, 'draining');
    void gateway.drain().then(({ clean, cut }) => {
      log.info({ clean, cut }, 'stopped');
      process.exit(EXIT.good);
    });
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  process.on('SIGHUP', () => gateway.reopenLogs());
  try {
    await gateway.start();
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    process.stderr.write(`tidegate: ${error.message}\n`);
    process.exit(EXIT.problem);
  }
}
