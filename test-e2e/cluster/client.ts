/** What a case asks a gateway, and what came back. */
import { type IncomingMessage, request as plainRequest, type RequestOptions } from 'node:http';
import { request as secureRequest } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import type { GatewayAddress } from './gateway.ts';
import type { SampleAnswer } from './sample-server.ts';

export interface Question {
  /** Host field, and server name where it goes over TLS. */
  readonly host: string;
  /** @default / */
  readonly path?: string;
  /** @default GET */
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  readonly tls?: boolean;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  /** What the sample backend saw; undefined: the answer is not a sample backend's. */
  readonly sample: SampleAnswer | undefined;
  /** Service whose pod answered: its pods are named for it. */
  readonly service: string | undefined;
  /** Common name of the certificate that was shown. */
  readonly certificate: string | undefined;
}

/** Milliseconds within which an answer has to begin. */
const PATIENCE = 30_000;

/** One request on a connection of its own. @throws when there is no whole answer */
export async function ask(gateway: GatewayAddress, question: Question): Promise<Answer> {
  const { host, path = '/', method = 'GET', headers = {}, body, tls = false } = question;
  return new Promise((resolve, reject) => {
    const take = (response: IncomingMessage): void => {
      const certificate = tls ? (response.socket as TLSSocket).getPeerCertificate().subject?.CN : undefined;
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        const sample = text.startsWith('{"pod"') ? (JSON.parse(text) as SampleAnswer) : undefined;
        const service = sample?.pod.replace(/-\d+$/, '');
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: text,
          sample,
          service,
          certificate: String(certificate ?? '') || undefined,
        });
      });
    };
    const port = tls ? gateway.https : gateway.http;
    const options: RequestOptions = { host: gateway.host, port, path, method, headers: { host, ...headers }, agent: false, timeout: PATIENCE };
    const outgoing = tls ? secureRequest({ ...options, servername: host, rejectUnauthorized: false }, take) : plainRequest(options, take);
    outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer to ${method} ${host}${path}`)));
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** Asks until every replica's answer must be as wanted: so many good ones in a row. @throws with the last answer */
export async function askUntil(gateway: GatewayAddress, question: Question, wanted: (answer: Answer) => boolean, inRow = 6): Promise<Answer> {
  let row = 0;
  for (const deadline = Date.now() + 180_000; ; ) {
    const answer = await ask(gateway, question);
    row = wanted(answer) ? row + 1 : 0;
    if (row >= inRow) return answer;
    if (Date.now() > deadline) throw new Error(`${question.host}${question.path ?? '/'} still answers ${answer.status} ${answer.body.slice(0, 300)}`);
    if (row === 0) await sleep(50);
  }
}
