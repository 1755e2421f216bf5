/** Routes for the paths of an OpenID login: a provider sends browsers back to one that no rule need cover. */
import type { AuthSpec } from '../snapshot/auth.ts';
import type { Match } from '../snapshot/snapshot.ts';
import type { RouteDraft } from './routes.ts';

/** No rule can have that name. */
const LABEL = '~oidc';

/**
 * For each policy with a login, and the hosts that it guards, one route of its redirectPath and logoutPath. It has no backend: the
 * policy answers. Without it, a policy on `/app` alone would have its logins end with 404.
 * @param drafts of one object
 */
export function loginRoutes(drafts: readonly RouteDraft[]): RouteDraft[] {
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
  return [...routes.values()];
}

/** What a provider sends a browser back with (OpenID Connect Core 1.0, section 3.1.2.5): nothing for a log. */
const SECRET_PARAMETERS = ['code', 'state'];

function loginPaths({ methods }: AuthSpec): string[] {
  return methods.flatMap((method) => (method.type === 'oidc' ? [method.redirectPath, method.logoutPath] : []));
}

function exactly(value: string): Match {
  return { path: { type: 'Exact', value }, headers: [], queryParams: [], cookies: [] };
}
