// authorization.mjs: a small authorization server (oidc-provider), to try things with; yours is another one. It gives access tokens
// (JWT, RFC 9068) to two clients, `desk` and `guest`, by client credentials: each has its name and `-secret` as secret.
//
//   node authorization.mjs --port 9100

import { parseArgs } from 'node:util';
import Provider from 'oidc-provider';

const { values } = parseArgs({ options: { port: { type: 'string' } } });
const SCOPES = { desk: 'agent:read agent:execute', guest: 'agent:read' };

const provider = new Provider(`http://127.0.0.1:${values.port}`, {
  scopes: ['agent:read', 'agent:execute'],
  clients: Object.entries(SCOPES).map(([client_id, scope]) => ({
    client_id,
    client_secret: `${client_id}-secret`,
    token_endpoint_auth_method: 'client_secret_post',
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    scope,
  })),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      // Any resource will do here. A server in production knows its resources.
      getResourceServerInfo: (_context, resource, client) => ({
        audience: resource,
        scope: SCOPES[client.clientId],
        accessTokenFormat: 'jwt',
        accessTokenTTL: 900,
      }),
    },
  },
});
provider.listen(Number(values.port), '127.0.0.1');
