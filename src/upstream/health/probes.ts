/** Every kind of check. */
import type { ActiveCheck } from '../../snapshot/upstream.ts';
import { grpcProbe } from './grpc-probe.ts';
import { httpProbe } from './http-probe.ts';
import { http2Probe } from './http2-probe.ts';
import type { Probe, ProbeTarget } from './probe.ts';
import { tcpProbe } from './tcp-probe.ts';

export const probe: Probe = (target, check, signal) => {
  switch (check.type) {
    case 'HTTP':
      return speaksHttp2(target, check) ? http2Probe(target, check, signal) : httpProbe(target, check, signal);
    case 'TCP':
      return tcpProbe(target, check, signal);
    case 'GRPC':
      return grpcProbe(target, check, signal);
  }
};

/** A port of its own is taken for one that speaks HTTP/1.1, as management ports do. */
function speaksHttp2({ upstream }: ProbeTarget, check: ActiveCheck): boolean {
  return check.port === undefined && upstream.protocol !== 'HTTP1';
}
