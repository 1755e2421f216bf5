/** Routes for the paths of an OpenID login: a provider sends browsers back to one that no rule need cover. */
import type { Entry } from '../resources/resource-set.ts';
import type { AuthSpec } from '../snapshot/auth.ts';
import { hostKey } from '../snapshot/host-key.ts';
import type { Match } from '../snapshot/match.ts';
import { describeHost } from '../snapshot/words.ts';
import type { Issues } from './issues.ts';
import type { RouteDraft } from './routes.ts';

/** No rule can have that name. */
const LABEL = '~oidc';

/**
 * For each policy with a login, and the hosts that it guards, one route of its redirectPath and logoutPath. It has no backend: the
 * policy answers. Without it, a policy on `/app` alone would have its logins end with 404.
 * @param entry the object, which is told of two policies that share a path
 * @param drafts of it
 */
export function loginRoutes(entry: Entry<unknown>, drafts: readonly RouteDraft[], issues: Issues): RouteDraft[] {
  const routes = new Map<string, RouteDraft>();
  const policies = new Map<AuthSpec, number>();
  for (const draft of drafts) {
    const { auth, ipAccess, limits } = draft.filters;
    const paths = auth === undefined ? [] : loginPaths(auth);
    if (auth === undefined || paths.length === 0) continue;
    if (!policies.has(auth)) policies.set(auth, policies.size);
    const key = `${policies.get(auth)} ${JSON.stringify(draft.hosts)}`;
    if (routes.has(key)) continue;
    const { kind, namespace, name, hosts, httpsRedirect, clientValidation, timeouts } = draft;
    const rule = routes.size === 0 ? LABEL : `${LABEL}-${routes.size + 1}`;
    routes.set(key, {
      ...{ id: `${kind}/${namespace}/${name}/${rule}`, kind, namespace, name, rule, hosts, matches: paths.map(exactly) },
      ...{ isDefaultBackend: false, httpsRedirect, ...(clientValidation === undefined ? {} : { clientValidation }) },
      filters: {
        ...(ipAccess === undefined ? {} : { ipAccess }),
        ...(limits === undefined ? {} : { limits }),
        auth: { ...auth, credentialParameters: SECRET_PARAMETERS },
      },
      timeouts,
      backends: [],
    });
  }
  tellShared(entry, [...routes.values()], issues);
  return [...routes.values()];
}

/** Browsers that come back to it would all come to the first policy, which knows nothing of the others' logins. */
function tellShared(entry: Entry<unknown>, routes: readonly RouteDraft[], issues: Issues): void {
  const owners = new Map<string, string>();
  for (const { hosts, matches, filters } of routes) {
    const policy = filters.auth?.policy ?? '';
    for (const host of hosts) {
      for (const { path } of matches) {
        const key = `${hostKey(host)} ${path.value}`;
        const owner = owners.get(key) ?? policy;
        owners.set(key, owner);
        if (owner === policy) continue;
        issues.add(entry, 'told', {
          severity: 'warning',
          reason: 'Conflicted',
          field: 'spec.rules',
          message: `${path.value} on ${describeHost(host)} is for logins of AuthPolicy ${owner} already, so those of AuthPolicy ${policy} can not use it`,
          hint: 'give one of the two policies another redirectPath, logoutPath and cookieName',
        });
      }
    }
  }
}

/** What a provider sends a browser back with (OpenID Connect Core 1.0, section 3.1.2.5): nothing for a log. */
const SECRET_PARAMETERS = ['code', 'state'];

function loginPaths({ methods }: AuthSpec): string[] {
  return methods.flatMap((method) => (method.type === 'oidc' ? [method.redirectPath, method.logoutPath] : []));
}

function exactly(value: string): Match {
  return { path: { type: 'Exact', value }, headers: [], queryParams: [], cookies: [] };
}
