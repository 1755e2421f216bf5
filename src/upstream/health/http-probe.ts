import type { ActiveCheck } from '../../snapshot/upstream.ts';
import { dial } from './dial.ts';
import { authorityOf, outcomeOf, type Probe, USER_AGENT } from './probe.ts';

// An import would have Node.js load undici, see problem.ts in exchange/.
const { request } = process.getBuiltinModule('node:http');

/** Passes when a GET in HTTP/1.1 is answered with an expected status; the answer's body is nobody's business. */
export const httpProbe: Probe<ActiveCheck & { readonly type: 'HTTP' }> = (target, { path, expectedStatuses }, signal) =>
  new Promise((resolve) => {
    const headers = { Host: authorityOf(target), 'User-Agent': USER_AGENT, Connection: 'close' };
    const asked = request({ path, headers, signal, createConnection: () => dial(target, ['http/1.1']) });
    asked.once('response', (response) => {
      const status = response.statusCode ?? 0;
      response.destroy();
      resolve({ passed: expectedStatuses.some(({ from, to }) => status >= from && status <= to), outcome: String(status) });
    });
    asked.on('error', (error) => resolve({ passed: false, outcome: outcomeOf(error) }));
    asked.end();
  });
