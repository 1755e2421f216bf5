/** nginx as a proxy; parts of its configuration serve the backend of the runs as well. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HOSTS, PATHS } from '../manifests.ts';
import type { Command, Task } from './peer.ts';

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

export function nginx(task: Task): Command {
  const { folder, certificate } = task;
  writeFileSync(join(folder, 'tls.crt'), certificate.chain);
  writeFileSync(join(folder, 'tls.key'), certificate.key);
  writeFileSync(join(folder, 'nginx.conf'), configuration(task));
  return { name: 'nginx', command: 'nginx', args: ['-c', join(folder, 'nginx.conf'), '-p', folder] };
}

function configuration({ folder, ports, backend, setting }: Task): string {
  const listen = `listen 127.0.0.1:${ports.http} backlog=4096; listen 127.0.0.1:${ports.https} ssl http2 backlog=4096;`;
  const pass = setting.backend === 'grpc' ? 'grpc_pass grpc://backend;' : 'proxy_pass http://backend;';
  const servers = setting.manyRoutes === true ? manyServers(listen) : `server { ${listen} location / { ${pass} } }`;
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
  ${setting.compression === 'gzip' ? 'gzip on; gzip_comp_level 4; gzip_proxied any; gzip_vary on; gzip_types application/json;' : ''}
  ${setting.cache === true ? `proxy_cache_path ${folder}/cache keys_zone=cache:10m max_size=128m; proxy_cache cache; proxy_cache_lock on;` : ''}
  client_max_body_size 10m;
  ${nginxTemporaryFiles(folder)}
  server_names_hash_max_size 8192;
  ssl_certificate ${folder}/tls.crt;
  ssl_certificate_key ${folder}/tls.key;
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_session_cache shared:tls:16m;
  upstream backend { server 127.0.0.1:${backend}; keepalive 64; }
  proxy_http_version 1.1;
  ${setting.backend === 'echo' ? 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;' : 'proxy_set_header Connection "";'}
  ${setting.gateway === true ? 'limit_req_zone $binary_remote_addr zone=clients:10m rate=1000000r/s; limit_req zone=clients burst=1000000 nodelay; proxy_set_header X-Bench 1;' : ''}
  proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  grpc_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  # Bodies are streamed, as the others do it, and never written to disk.
  proxy_request_buffering off;
  proxy_buffers 16 16k;
  proxy_buffer_size 16k;
  proxy_max_temp_file_size 0;
  ${servers}
}
`;
}

function manyServers(listen: string): string {
  const locations = PATHS.map((path) => `location ${path} { proxy_pass http://backend; }`).join(' ');
  return HOSTS.map((host) => `server { ${listen.replaceAll(' backlog=4096', '')} server_name ${host}; ${locations} }`).join('\n  ');
}
