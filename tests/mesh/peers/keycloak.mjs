// A stand-in for Keycloak with one realm, on oidc-provider: what `docs/tasks/keycloak.md` needs of it. Clients, their secrets and audiences,
// users, their passwords and roles come from the page's own realm file; the tokens have the claims of Keycloak's
// (`tests/providers/shapes.json`), the endpoints its paths.
//
//   node keycloak.mjs --realm FILE --port N

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { options, stopOnSignal } from './process.mjs';

console.info = console.error;
const { default: Provider, errors } = await import('oidc-provider');

const args = options({ port: '0', realm: '' });
const realm = JSON.parse(readFileSync(args.realm, 'utf8'));
const issuer = `http://127.0.0.1:${args.port}/realms/${realm.realm}`;
const RESOURCE = 'urn:realm:any';

/** The audiences that the mappers of a client add. */
const audiencesOf = (clientId) =>
  realm.clients
    .find((client) => client.clientId === clientId)
    .protocolMappers.filter((mapper) => mapper.protocolMapper === 'oidc-audience-mapper' && mapper.config['access.token.claim'] === 'true')
    .map((mapper) => mapper.config['included.custom.audience']);

const rolesOf = (user) => ({ roles: [...(user?.realmRoles ?? []), 'offline_access'] });

/** The claims of an access token as Keycloak has them: of a user if the grant was for one, else of the client's service account. */
function claims(ctx, token, parts) {
  const { clientId } = ctx.oidc.client;
  const user = ctx.oidc.entities.User;
  parts.header = { ...parts.header, typ: 'JWT' };
  const about = user
    ? { sub: `f1e7b2a4-${user.username}`, sid: randomUUID(), realm_access: rolesOf(user), preferred_username: user.username, email: user.email }
    : {
        sub: `0d9c41b7-${clientId}`,
        realm_access: rolesOf(realm.users.find((one) => one.serviceAccountClientId === clientId)),
        preferred_username: `service-account-${clientId}`,
        clientHost: '127.0.0.1',
        clientAddress: '127.0.0.1',
        client_id: clientId,
      };
  const { iat, exp } = parts.payload;
  const rest = { iss: issuer, aud: [...audiencesOf(clientId), 'account'], typ: 'Bearer', azp: clientId, acr: '1', scope: 'email profile' };
  parts.payload = { iat, exp, jti: token.jti, ...rest, ...about };
}

const provider = new Provider(issuer, {
  clients: realm.clients.map((client) => ({
    client_id: client.clientId,
    ...(client.secret && { client_secret: client.secret }),
    token_endpoint_auth_method: client.publicClient ? 'none' : 'client_secret_post',
    grant_types: [...(client.serviceAccountsEnabled ? ['client_credentials'] : []), ...(client.directAccessGrantsEnabled ? ['password'] : [])],
    response_types: [],
    redirect_uris: [],
  })),
  routes: { token: '/protocol/openid-connect/token', jwks: '/protocol/openid-connect/certs' },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => RESOURCE,
      getResourceServerInfo: () => ({ audience: RESOURCE, scope: '', accessTokenFormat: 'jwt', accessTokenTTL: 300, jwt: { sign: { alg: 'RS256' } } }),
    },
  },
  formats: { customizers: { jwt: claims } },
  ttl: { ClientCredentials: 300 },
});

provider.registerGrantType(
  'password',
  async (ctx) => {
    const { client, params } = ctx.oidc;
    const user = realm.users.find((one) => one.username === params.username);
    if (!user || user.credentials?.[0].value !== params.password) throw new errors.InvalidGrant('Invalid user credentials');
    ctx.oidc.entity('User', user);
    const token = new provider.ClientCredentials({ client });
    token.resourceServer = new provider.ResourceServer(RESOURCE, { audience: RESOURCE, scope: '', accessTokenFormat: 'jwt', accessTokenTTL: 300 });
    ctx.body = { access_token: await token.save(), token_type: 'Bearer', expires_in: 300 };
  },
  ['username', 'password'],
);

provider.on('server_error', (_ctx, error) => console.error(error));
const handle = provider.callback();
const server = createServer((request, response) => {
  const base = `/realms/${realm.realm}`;
  if (!request.url.startsWith(base)) return response.writeHead(404).end();
  // Where oidc-provider is mounted it finds its own base by the original URL.
  request.originalUrl = request.url;
  request.url = request.url.slice(base.length);
  return handle(request, response);
});
server.listen(Number(args.port), '127.0.0.1');
stopOnSignal(server);
