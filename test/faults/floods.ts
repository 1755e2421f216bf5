/** Peers that misuse HTTP/2 to make the gateway work for nothing, while others go on. */
import { connect } from 'node:net';
import { percentile } from '../../test-e2e/percentile.ts';
import { type DataPlaneFault, serve, Watched } from './fault.ts';
import { Findings } from './findings.ts';

const Type = { Data: 0, Headers: 1, Priority: 2, RstStream: 3, Settings: 4, Ping: 6, GoAway: 7, WindowUpdate: 8, Continuation: 9 } as const;
const END_STREAM = 1;
const END_HEADERS = 4;
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const CANCEL = Buffer.from([0, 0, 0, 8]);
const ENHANCE_YOUR_CALM = 11;

function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** `:method` GET or POST, `:scheme` http, `:path` /, `:authority` a.test (RFC 7541 appendix A). */
function block(method: 'GET' | 'POST'): Buffer {
  return Buffer.concat([Buffer.from([method === 'GET' ? 0x82 : 0x83, 0x86, 0x84, 0x41, 6]), Buffer.from('a.test')]);
}

function increment(bytes: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(bytes);
  return payload;
}

/** A field of 1,000 bytes that no table has: `x-flood`. */
const LONG_FIELD = Buffer.concat([Buffer.from([0x00, 7]), Buffer.from('x-flood'), Buffer.from([0x7f, 0xe9, 0x06]), Buffer.alloc(1000, 'f')]);

interface Attack {
  readonly name: string;
  /** What comes first. */
  readonly opening?: Buffer;
  /** The frames of its nth step. */
  step(count: number): Buffer;
}

/** The id of the nth stream. */
const id = (count: number): number => 2 * count + 1;

const ATTACKS: readonly Attack[] = [
  {
    name: 'Rapid Reset',
    step: (count) => Buffer.concat([frame(Type.Headers, END_HEADERS | END_STREAM, id(count), block('GET')), frame(Type.RstStream, 0, id(count), CANCEL)]),
  },
  {
    name: 'MadeYouReset',
    // An increment of 0 is an error of the stream, which the gateway has to reset (RFC 9113 section 6.9).
    step: (count) => Buffer.concat([frame(Type.Headers, END_HEADERS, id(count), block('POST')), frame(Type.WindowUpdate, 0, id(count), increment(0))]),
  },
  { name: 'CONTINUATION', opening: frame(Type.Headers, 0, 1, block('GET')), step: () => frame(Type.Continuation, 0, 1, LONG_FIELD) },
  { name: 'PING', step: () => frame(Type.Ping, 0, 0, Buffer.alloc(8)) },
  { name: 'SETTINGS', step: () => frame(Type.Settings, 0, 0) },
  { name: 'PRIORITY', step: (count) => frame(Type.Priority, 0, id(count), Buffer.from([0, 0, 0, 0, 1])) },
  { name: 'empty DATA', opening: frame(Type.Headers, END_HEADERS, 1, block('POST')), step: () => frame(Type.Data, 0, 1) },
  { name: 'WINDOW_UPDATE', step: () => frame(Type.WindowUpdate, 0, 0, increment(1)) },
];

/** Steps that are written at once. */
const AT_ONCE = 100;
/** An attack that was not ended by then is not going to be. Bytes. */
const ENOUGH = 64 * 1024 * 1024;

interface Attacked {
  /** Error code of the GOAWAY that came; undefined: none. */
  readonly code: number | undefined;
  readonly sent: number;
}

/** Attacks on one connection until the gateway ends it. */
async function attack(port: number, { opening = Buffer.alloc(0), step }: Attack): Promise<Attacked> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    let [count, sent] = [0, 0];
    let received = Buffer.alloc(0);
    let code: number | undefined;
    // A turn of the loop for each, or nothing would be read as long as the system takes what is written.
    const push = (): void => {
      if (socket.destroyed) return;
      const steps: Buffer[] = [];
      for (let index = 0; index < AT_ONCE; index++) steps.push(step(count++));
      const bytes = Buffer.concat(steps);
      sent += bytes.length;
      if (sent >= ENOUGH) socket.destroy();
      else if (socket.write(bytes)) setImmediate(push);
    };
    socket.on('connect', () => {
      socket.write(Buffer.concat([PREFACE, frame(Type.Settings, 0, 0), opening]));
      push();
    });
    socket.on('drain', push);
    socket.on('data', (bytes: Buffer) => {
      received = Buffer.concat([received, bytes]);
      while (received.length >= 9 && received.length >= 9 + received.readUIntBE(0, 3)) {
        const length = received.readUIntBE(0, 3);
        if (received[3] === Type.GoAway && length >= 8) code = received.readUInt32BE(13);
        received = received.subarray(9 + length);
      }
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve({ code, sent }));
  });
}

export const floods: DataPlaneFault = {
  number: 26,
  name: 'Floods of HTTP/2',
  passes: "GOAWAY and close for each of them, flat memory, other clients' p99 at most doubled, 0 of their requests failed",
  async run(place) {
    const rounds = place.measure.full ? 50 : 1;
    const findings = new Findings(`${ATTACKS.map(({ name }) => name).join(', ')}: each on ${rounds} connections one after the other, under load`);
    const { gateway } = await serve(place);
    const watched = new Watched(place, gateway);
    await watched.quiet();
    const quiet = percentile(watched.latencies(), 99);
    for (const one of ATTACKS) {
      place.tell(one.name);
      const outcomes: Attacked[] = [];
      for (let round = 0; round < rounds; round++) outcomes.push(await attack(gateway.http, one));
      const during = percentile(watched.latencies(), 99);
      const calm = outcomes.filter(({ code }) => code === ENHANCE_YOUR_CALM).length;
      const most = Math.max(...outcomes.map(({ sent }) => sent));
      findings.check(
        // Where the last bytes of an attack are still on their way, its own reset may take the GOAWAY away again before it is read.
        calm > 0 && most < ENOUGH,
        `${one.name}: ${calm} of ${rounds} saw ENHANCE_YOUR_CALM, ended after ${(most / 1024).toFixed(0)} KiB at most, p99 ${quiet.toFixed(1)} to ${during.toFixed(1)} ms`,
      );
      findings.checkTime(place, !(during > 2 * quiet), `${one.name}: p99 of others ${(during / quiet).toFixed(1)} times`);
    }
    await watched.judge(findings);
    return findings;
  },
};
