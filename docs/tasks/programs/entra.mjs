// entra.mjs: a stand-in for one tenant of Microsoft Entra ID, to try things without one. Its tokens have Entra's claims, its endpoints
// Entra's paths: metadata, keys, and tokens by client credentials, by a user's password, and on behalf of a user (OBO).
//
//   node entra.mjs --port 9200
//
// Whom it knows: user ann (password ann-password, role "Foundry User" at api://expense); user bob (bob-password), who has not consented
// that travel acts for him; clients desk (public), travel (secret travel-secret) and robot (robot-secret, role "Foundry User").

import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import { parseArgs } from 'node:util';
import { SignJWT, jwtVerify } from 'jose';

const { values } = parseArgs({ options: { port: { type: 'string' } } });
const TENANT = '11111111-2222-3333-4444-555555555555';
const issuer = `http://127.0.0.1:${values.port}/${TENANT}/v2.0`;
const CLIENTS = { desk: {}, travel: { secret: 'travel-secret' }, robot: { secret: 'robot-secret', roles: ['Foundry User'] } };
const USERS = {
  ann: { password: 'ann-password', oid: '0c8f1e5e-6a07-4b0f-9a4c-6f2f5c9b7a10', roles: ['Foundry User'], consents: true },
  bob: { password: 'bob-password', oid: '2d17b7aa-91c4-4a3e-8f64-6b8a4d0c5e21', roles: [], consents: false },
};
const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const key = { ...publicKey.export({ format: 'jwk' }), kid: 'entra-1', use: 'sig' };

class Refused extends Error {
  constructor(error, code, why) {
    super(`AADSTS${code}: ${why}`);
    this.body = { error, error_description: this.message, error_codes: [code] };
  }
}

const ofUser = (name) => ({ oid: USERS[name].oid, sub: `${name}-pairwise`, name, scp: 'access_as_user' });

async function give(form, claims, roles) {
  const aud = form.scope?.split(' ').find((scope) => scope.endsWith('/.default'))?.slice(0, -'/.default'.length);
  if (!aud) throw new Refused('invalid_scope', 70011, 'the scope must end with /.default');
  const all = { ...claims, ...(aud === 'api://expense' && roles.length && { roles }), azp: form.client_id, tid: TENANT, ver: '2.0' };
  const token = new SignJWT(all).setProtectedHeader({ typ: 'JWT', alg: 'RS256', kid: key.kid }).setIssuer(issuer).setAudience(aud);
  const access_token = await token.setIssuedAt().setNotBefore('0s').setExpirationTime('1h').sign(privateKey);
  return { token_type: 'Bearer', expires_in: 3599, ext_expires_in: 3599, access_token };
}

/** What the token endpoint answers to this form. */
async function answer(form) {
  const client = CLIENTS[form.client_id];
  if (!client || (client.secret && client.secret !== form.client_secret)) {
    throw new Refused('invalid_client', 7000215, 'Invalid client secret provided.');
  }
  if (form.grant_type === 'client_credentials' && client.secret) {
    return give(form, { oid: `${form.client_id}-object`, sub: `${form.client_id}-object` }, client.roles ?? []);
  }
  if (form.grant_type === 'password') {
    const user = USERS[form.username];
    if (!user || user.password !== form.password) throw new Refused('invalid_grant', 50126, 'Invalid username or password.');
    return give(form, ofUser(form.username), user.roles);
  }
  if (form.grant_type === 'urn:ietf:params:oauth:grant-type:jwt-bearer' && form.requested_token_use === 'on_behalf_of' && client.secret) {
    // The user's token must be for the client that shows it.
    const checked = jwtVerify(form.assertion ?? '', publicKey, { issuer, audience: `api://${form.client_id}` });
    const { payload } = await checked.catch((error) => {
      throw new Refused('invalid_grant', 500131, error.message);
    });
    const { consents, roles } = USERS[payload.name];
    if (!consents) throw new Refused('interaction_required', 65001, 'The user has not consented to use the application.');
    return give(form, ofUser(payload.name), roles);
  }
  throw new Refused('unsupported_grant_type', 70003, 'this client may not use that grant');
}

createServer((request, response) => {
  const say = (status, body) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };
  const token_endpoint = `http://127.0.0.1:${values.port}/${TENANT}/oauth2/v2.0/token`;
  const jwks_uri = `http://127.0.0.1:${values.port}/${TENANT}/discovery/v2.0/keys`;
  if (request.url === `/${TENANT}/v2.0/.well-known/openid-configuration`) return say(200, { issuer, token_endpoint, jwks_uri });
  if (jwks_uri.endsWith(request.url)) return say(200, { keys: [key] });
  if (request.method !== 'POST' || !token_endpoint.endsWith(request.url)) return say(404, { error: 'not_found' });
  let body = '';
  request.on('data', (part) => (body += part));
  request.on('end', () => {
    const form = Object.fromEntries(new URLSearchParams(body));
    answer(form).then((given) => say(200, given)).catch((error) => say(error.body?.error === 'invalid_client' ? 401 : 400, error.body ?? { error: 'server_error' }));
  });
}).listen(Number(values.port), '127.0.0.1');
