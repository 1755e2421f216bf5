/** Configurations of nginx and HAProxy for the same work as Tidegate's: one core, keep-alive to the backend, X-Forwarded-For added. */
import type { Addresses } from './load.ts';
import { HOSTS, PATHS } from './manifests.ts';
import type { Setting } from './subjects.ts';

/** As root, nginx would change to a user that may not read the run's own folder. */
export const nginxUser = process.getuid?.() === 0 ? 'user root;' : '';

/** The outermost part of a configuration: one process, which stays in the foreground. */
export function nginxProcess(folder: string): string {
  return `daemon off;
${nginxUser}
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr error;
events { worker_connections 4096; }`;
}

/** For the http part: nothing is written outside the run's own folder. */
export function nginxTemporaryFiles(folder: string): string {
  return ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((part) => `${part}_temp_path ${folder}/${part};`).join('\n  ');
}

export function nginxConfig(folder: string, ports: Addresses, backendPort: number, setting: Setting): string {
  const listen = `listen 127.0.0.1:${ports.http} backlog=4096; listen 127.0.0.1:${ports.https} ssl backlog=4096;`;
  const servers = setting.manyRoutes === true ? manyNginxServers(listen) : `server { ${listen} location / { proxy_pass http://backend; } }`;
  const log =
    setting.accessLog === true
      ? `log_format json escape=json '{"time":"$time_iso8601","requestId":"$request_id","clientIp":"$remote_addr","method":"$request_method",'
          '"host":"$host","path":"$uri","protocol":"$server_protocol","status":$status,"requestBytes":$request_length,"responseBytes":$bytes_sent,'
          '"durationMs":$request_time,"upstream":"$proxy_host","endpoint":"$upstream_addr","upstreamStatus":"$upstream_status",'
          '"upstreamMs":"$upstream_response_time","userAgent":"$http_user_agent","referer":"$http_referer","tlsVersion":"$ssl_protocol"}';
  access_log ${folder}/access.log json buffer=64k flush=1s;`
      : 'access_log off;';
  return `
${nginxProcess(folder)}
http {
  ${log}
  tcp_nopush on;
  client_max_body_size 10m;
  ${nginxTemporaryFiles(folder)}
  server_names_hash_max_size 8192;
  ssl_certificate ${folder}/tls.crt;
  ssl_certificate_key ${folder}/tls.key;
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_session_cache shared:tls:16m;
  upstream backend { server 127.0.0.1:${backendPort}; keepalive 64; }
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  # Bodies are streamed, as the others do it, and never written to disk.
  proxy_request_buffering off;
  proxy_buffers 16 16k;
  proxy_buffer_size 16k;
  proxy_max_temp_file_size 0;
  ${servers}
}
`;
}

function manyNginxServers(listen: string): string {
  const locations = PATHS.map((path) => `location ${path} { proxy_pass http://backend; }`).join(' ');
  return HOSTS.map((host) => `server { ${listen.replaceAll(' backlog=4096', '')} server_name ${host}; ${locations} }`).join('\n  ');
}

export function haproxyConfig(folder: string, ports: Addresses, backendPort: number, setting: Setting): string {
  const log =
    setting.accessLog === true
      ? `log stdout format raw local0 info
  log-format '{"time":"%[date,utime(%Y-%m-%dT%H:%M:%S)].%ms","clientIp":"%ci","method":"%HM","path":"%HPO","protocol":"%HV","status":%ST,"requestBytes":%U,"responseBytes":%B,"durationMs":%Tt,"upstream":"%b","endpoint":"%s","upstreamMs":%Tr,"tlsVersion":"%sslv"}'`
      : '';
  const route = setting.manyRoutes === true ? `use_backend %[base,map_beg(${folder}/routes.map,none)]` : 'default_backend backend';
  return `
global
  nbthread 1
  maxconn 4096
  tune.ssl.cachesize 100000
defaults
  mode http
  option forwardfor
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout http-request 10s
frontend front
  bind 127.0.0.1:${ports.http} backlog 4096
  bind 127.0.0.1:${ports.https} backlog 4096 ssl crt ${folder}/tls.pem ssl-min-ver TLSv1.2 alpn http/1.1
  ${log}
  ${route}
backend backend
  server backend 127.0.0.1:${backendPort} pool-max-conn 64
backend none
  http-request return status 404
`;
}

export function haproxyRoutes(): string {
  return HOSTS.flatMap((host) => PATHS.map((path) => `${host}${path} backend`)).join('\n');
}
