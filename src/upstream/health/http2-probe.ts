import type { ActiveCheck } from '../../snapshot/upstream.ts';
import { requestOverHttp2 } from './http2-request.ts';
import { outcomeOf, type Probe } from './probe.ts';

/** As `httpProbe`, over HTTP/2. */
export const http2Probe: Probe<ActiveCheck & { readonly type: 'HTTP' }> = async (target, { path, expectedStatuses }, signal) => {
  const asked = { ':method': 'GET', ':path': path };
  try {
    const { headers } = await requestOverHttp2(target, asked, undefined, signal);
    const status = headers[':status'] ?? 0;
    return { passed: expectedStatuses.some(({ from, to }) => status >= from && status <= to), outcome: String(status) };
  } catch (error) {
    return { passed: false, outcome: outcomeOf(error) };
  }
};
