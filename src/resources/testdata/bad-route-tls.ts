import type { BadObject } from './bad-routes.ts';
import { backendRefs, route } from './objects.ts';

/** A route that passes TLS through, but for what is given. */
function passing(rule: object, tls: object = { mode: 'Passthrough' }): object {
  return route({ hostnames: ['a.example'], tls, rules: [{ backendRefs, ...rule }] });
}

/** ApiRoutes whose `tls` is wrong in one place, those that pass TLS through among them. */
export const BAD_ROUTE_TLS: readonly BadObject[] = [
  ['a mode of TLS that is none', passing({}, { mode: 'Passthru' }), 'spec.tls.mode', /"Passthru"/, /Passthrough/],
  ['passthrough without hosts', route({ tls: { mode: 'Passthrough' }, rules: [{ backendRefs }] }), 'spec.hostnames', /needs hostnames/, /write/],
  ['passthrough with a certificate', passing({}, { mode: 'Passthrough', secretName: 'x' }), 'spec.tls.secretName', /the backend's/, /leave secretName out/],
  ['passthrough with a redirect', passing({}, { mode: 'Passthrough', redirect: true }), 'spec.tls.redirect', /sees no requests/, /scheme: http/],
  [
    'passthrough with two rules',
    route({ hostnames: ['a.example'], tls: { mode: 'Passthrough' }, rules: [{ backendRefs }, { backendRefs }] }),
    'spec.rules[1]',
    /choose between rules/,
    /one rule/,
  ],
  ['passthrough with matches', passing({ matches: [{ methods: ['GET'] }] }), 'spec.rules[0].matches', /nothing can be matched/, /leave matches out/],
  [
    'passthrough with filters',
    passing({ filters: { limits: { maxRequestBodyBytes: 1 } } }),
    'spec.rules[0].filters',
    /nothing can be filtered/,
    /leave filters out/,
  ],
  ['passthrough without a backend', passing({ backendRefs: [] }), 'spec.rules[0].backendRefs', /needs a backend/, /backendRefs/],
  [
    'passthrough with filters of a backend',
    passing({ backendRefs: [{ name: 'x', port: 80, filters: { requestHeaderModifier: { remove: ['x'] } } }] }),
    'spec.rules[0].backendRefs[0].filters',
    /nothing can be filtered/,
    /leave filters out/,
  ],
  ['passthrough with a time-out of requests', passing({ timeouts: { request: '1s' } }), 'spec.rules[0].timeouts.request', /means nothing/, /idle/],
  [
    'client validation without authorities',
    route({ tls: { clientValidation: {} }, rules: [{ backendRefs }] }),
    'spec.tls.clientValidation.caCertificateRefs',
    /missing/,
    /list/,
  ],
  [
    'client validation with an empty list of authorities',
    route({ tls: { clientValidation: { caCertificateRefs: [] } }, rules: [{ backendRefs }] }),
    'spec.tls.clientValidation.caCertificateRefs',
    /empty/,
    /at least one/,
  ],
  [
    'client validation by an unknown mode',
    route({ tls: { clientValidation: { caCertificateRefs: [{ name: 'ca' }], mode: 'Required' } }, rules: [{ backendRefs }] }),
    'spec.tls.clientValidation.mode',
    /"Required" is not one of/,
    /Require\?/,
  ],
  [
    'revocation list of another kind',
    route({ tls: { clientValidation: { caCertificateRefs: [{ name: 'ca' }], crlRefs: [{ kind: 'Configmap', name: 'x' }] } }, rules: [{ backendRefs }] }),
    'spec.tls.clientValidation.crlRefs[0].kind',
    /"Configmap" is not one of/,
    /ConfigMap\?/,
  ],
  [
    'tls without boolean',
    route({ tls: { redirect: 'yes' }, rules: [{ backendRefs }] }),
    'spec.tls.redirect',
    /true or false, not the string/,
    /without quotes/,
  ],
];
