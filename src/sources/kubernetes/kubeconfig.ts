/**
 * A kubeconfig: client certificates, tokens, token files, exec plugins, providers, TLS server names, proxies, as
 * @kubernetes/client-node reads them. The library is loaded only here, and only once there is a kubeconfig.
 */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node';
import { load } from 'js-yaml';
import type { ClientTls, ClusterAccess, Credentials } from './cluster-access.ts';
import { CredentialsError, oneLine } from './errors.ts';

/** An exec plugin that does not answer within this (ms) is given up for this time. */
const PLUGIN_TIMEOUT = 60_000;

type HttpsOptions = Parameters<KubeConfig['applyToHTTPSOptions']>[0];

/**
 * @param file path; relative paths in it count from its folder
 * @throws (rejects) CredentialsError, a line that names the file and what is wrong with it
 */
export async function fromKubeconfig(file: string, options: { readonly now?: () => number; readonly pluginTimeout?: number } = {}): Promise<ClusterAccess> {
  const { now = Date.now, pluginTimeout = PLUGIN_TIMEOUT } = options;
  let config: KubeConfig | undefined = await read(file);
  const cluster = config.getCurrentCluster() as NonNullable<ReturnType<KubeConfig['getCurrentCluster']>>;
  const namespace = config.getContextObject(config.currentContext)?.namespace;
  // Read once for its faults, so that what can't work is told before anything is tried.
  expiry(await tlsOf(config, file), file, now());
  return {
    server: cluster.server,
    ...(cluster.proxyUrl === undefined ? {} : { proxy: cluster.proxyUrl }),
    namespace: namespace === undefined || namespace === '' ? 'default' : namespace,
    credentials: async () => {
      config ??= await read(file);
      const found = await credentialsOf(config, file, pluginTimeout);
      expiry(found.tls, file, now());
      return found;
    },
    // With it goes all that the library remembers: tokens of files and plugins.
    forget: () => {
      config = undefined;
    },
  };
}

interface RawUser {
  readonly name?: unknown;
  readonly user?: { readonly tokenFile?: unknown } | null;
}

async function read(file: string): Promise<KubeConfig> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new CredentialsError(oneLine(error));
  }
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  let raw: { readonly users?: unknown };
  try {
    const parsed = load(text);
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw new Error('it is no kubeconfig: expected clusters, users and contexts');
    raw = parsed;
    config.loadFromString(JSON.stringify(parsed));
  } catch (error) {
    throw new CredentialsError(`${file}: ${oneLine(error)}`);
  }
  check(config, file);
  const folder = resolve(dirname(file));
  config.makePathsAbsolute(folder);
  const user = config.getCurrentUser();
  const tokenFile = (Array.isArray(raw.users) ? (raw.users as readonly RawUser[]) : []).find((one) => one?.name === user?.name)?.user?.tokenFile;
  // The library knows token files of its own making only.
  if (user !== null && !user.token && typeof tokenFile === 'string') {
    (user as { authProvider: unknown }).authProvider = {
      name: 'tokenFile',
      config: { tokenFile: isAbsolute(tokenFile) ? tokenFile : join(folder, tokenFile) },
    };
  }
  prepareExec(config, folder);
  return config;
}

function check(config: KubeConfig, file: string): void {
  const fail: (message: string) => never = (message) => {
    throw new CredentialsError(`${file}: ${message}`);
  };
  if (typeof config.currentContext !== 'string' || config.currentContext === '') fail('current-context is missing; name one of its contexts');
  const context = config.getContextObject(config.currentContext);
  if (context === null) fail(`current-context is "${config.currentContext}", and there is no such context`);
  const cluster = config.getCurrentCluster();
  if (cluster === null) fail(`context "${config.currentContext}" names cluster "${context?.cluster}", which is not there`);
  const url = URL.parse(cluster.server);
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    fail(`the server of cluster "${cluster.name}" is "${cluster.server}"; expected an https:// URL`);
  if (cluster.proxyUrl !== undefined && !/^(https?|socks5):$/.test(URL.parse(cluster.proxyUrl)?.protocol ?? '')) {
    fail(`the proxy-url of cluster "${cluster.name}" is "${cluster.proxyUrl}"; expected an http, https or socks5 URL`);
  }
  if (config.getCurrentUser() === null && context?.user) fail(`context "${config.currentContext}" names user "${context.user}", which is not there`);
  // The library refuses plain HTTP (kubectl proxy) without it.
  if (url?.protocol === 'http:') (cluster as { skipTLSVerify: boolean }).skipTLSVerify = true;
}

interface ExecSettings {
  command?: string;
  env?: { name: string; value: string }[];
  apiVersion?: string;
}

/** As kubectl does: a command with a slash counts from the kubeconfig's folder, and a plugin is told what is asked of it. */
function prepareExec(config: KubeConfig, folder: string): void {
  const exec = config.getCurrentUser()?.exec as ExecSettings | null | undefined;
  if (exec === null || exec === undefined) return;
  if (typeof exec.command === 'string' && exec.command.includes('/') && !isAbsolute(exec.command)) exec.command = join(folder, exec.command);
  const info = { apiVersion: exec.apiVersion ?? 'client.authentication.k8s.io/v1', kind: 'ExecCredential', spec: { interactive: false } };
  exec.env = [{ name: 'KUBERNETES_EXEC_INFO', value: JSON.stringify(info) }, ...(exec.env ?? [])];
}

async function tlsOf(config: KubeConfig, file: string): Promise<ClientTls> {
  const user = config.getCurrentUser();
  const cluster = config.getCurrentCluster();
  const part = async (name: string, path: string | null | undefined, data: string | null | undefined): Promise<Buffer | undefined> => {
    if (!path) return data ? Buffer.from(data, 'base64') : undefined;
    return readFile(path).catch((error) => {
      throw new CredentialsError(`${file}: ${name}: ${oneLine(error)}`);
    });
  };
  const ca = await part('certificate-authority', cluster?.caFile, cluster?.caData);
  const cert = await part('client-certificate', user?.certFile, user?.certData);
  const key = await part('client-key', user?.keyFile, user?.keyData);
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}

/** @throws CredentialsError when the client certificate no longer serves */
function expiry({ cert }: ClientTls, file: string, now: number): void {
  if (cert === undefined) return;
  let parsed: X509Certificate;
  try {
    parsed = new X509Certificate(cert);
  } catch {
    throw new CredentialsError(`${file}: client-certificate is no PEM certificate`);
  }
  if (parsed.validToDate.getTime() < now)
    throw new CredentialsError(`${file}: the client certificate expired on ${parsed.validToDate.toISOString()}; have a new one issued`);
}

async function credentialsOf(config: KubeConfig, file: string, pluginTimeout: number): Promise<Credentials> {
  const options: HttpsOptions = {};
  let timer: NodeJS.Timeout | undefined;
  try {
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`no credentials within ${pluginTimeout / 1000} s`)), pluginTimeout);
    });
    await Promise.race([config.applyToHTTPSOptions(options), late]);
  } catch (error) {
    const command = (config.getCurrentUser()?.exec as ExecSettings | null | undefined)?.command;
    throw new CredentialsError(`${file}: ${command === undefined ? '' : `exec plugin ${command}: `}${oneLine(error)}`);
  } finally {
    clearTimeout(timer);
  }
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(options.headers ?? {})) headers[name.toLowerCase()] = String(value).trim();
  const { auth } = options as { readonly auth?: unknown };
  if (typeof auth === 'string') headers.authorization = `Basic ${Buffer.from(auth).toString('base64')}`;
  const { ca, cert, key, servername, rejectUnauthorized } = options as ClientTls;
  return {
    headers,
    tls: {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(servername === undefined ? {} : { servername }),
      ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
    },
  };
}
