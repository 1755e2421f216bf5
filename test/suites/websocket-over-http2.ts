/** WebSocket over HTTP/2 (RFC 8441) on either side of the gateway, by `node:http2`: a client's end of a tunnel, and a backend before a server of HTTP/1.1. */
import { once } from 'node:events';
import { type ClientHttp2Stream, connect as connectHttp2, createServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, connect } from 'node:net';
import { endWith, type Lifetime } from '../gateway/lifetime.ts';
import { handshake } from '../gateway/tunnel-backend.ts';

/** A tunnel on a connection of its own, which ends when its other side does. @throws where it is refused */
export async function tunnelByHttp2(port: number, path: string): Promise<ClientHttp2Stream> {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  await once(session, 'remoteSettings');
  const head = { ':method': 'CONNECT', ':protocol': 'websocket', ':path': path, ':authority': 'a', 'sec-websocket-version': '13' };
  const stream = session.request(head, { endStream: false });
  stream.on('close', () => session.close());
  const [answer] = await once(stream, 'response');
  if (answer[':status'] !== 200) throw new Error(`${path} was answered with ${answer[':status']}`);
  stream.on('end', () => stream.end());
  return stream;
}

/** A backend that takes WebSockets by extended CONNECT alone, and passes their bytes on to a server of HTTP/1.1. @returns its port */
export async function startHttp2Backend(lifetime: Lifetime, target: number): Promise<number> {
  const server = createServer({ settings: { enableConnectProtocol: true } });
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session) => sessions.add(session));
  server.on('stream', (stream: ServerHttp2Stream, head) => passOn(stream, head[':protocol'] === 'websocket' ? (head[':path'] ?? '') : '', target));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  endWith(lifetime, () => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function passOn(stream: ServerHttp2Stream, path: string, target: number): void {
  if (path === '') {
    stream.respond({ ':status': 400 }, { endStream: true });
    return;
  }
  const far = connect({ port: target, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
  for (const side of [stream, far]) {
    side.on('error', () => {
      far.destroy();
      stream.close(8);
    });
  }
  far.write(handshake(path));
  let answer = '';
  const onHead = (bytes: Buffer): void => {
    answer += bytes.toString('latin1');
    const end = answer.indexOf('\r\n\r\n');
    if (end < 0) return;
    far.off('data', onHead);
    stream.respond({ ':status': 200 });
    if (answer.length > end + 4) stream.write(Buffer.from(answer.slice(end + 4), 'latin1'));
    stream.pipe(far);
    far.pipe(stream);
  };
  far.on('data', onHead);
}
