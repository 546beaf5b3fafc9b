// The endpoints from which Azure gives its machines tokens, as documented: the metadata endpoint of virtual machines
// (api-version 2018-02-01) and the identity endpoint of App Service (api-version 2019-08-01). The tokens say what was asked. And the token
// endpoint of Entra for agent identities: blueprint `blueprint` gets a token for agent identity `agent-1` or `agent-2` (fmi_path), which is
// then the assertion of that agent identity. The blueprint proves itself by the secret `blueprint-secret`, or by a token of the metadata
// endpoint for api://AzureADTokenExchange.
//
//   node azure.mjs [--port N]
//
// GET /control/stats answers {"metadata": how many tokens were given, "app_service": …, "blueprint": …, "agent_identity": …}.

import { createServer } from 'node:http';
import { options, ready, stopOnSignal } from './process.mjs';

const args = options({ port: '0' });
const stats = { metadata: 0, app_service: 0, blueprint: 0, agent_identity: 0 };
const HEADER = '853b9a84-5bfa-4b22-a3f3-0b9a43d9ad8a';

/** A token in the shape of a JWT whose claims are `claims`. */
const token = (claims) => `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`;

/** The claims of such a token; none if it is no token of ours. */
const claimsOf = (jwt) => {
  const [header, claims, signature] = jwt?.split('.') ?? [];
  return header === 'e30' && signature === 'c2ln' ? JSON.parse(Buffer.from(claims, 'base64url')) : {};
};

const EXCHANGE = 'api://AzureADTokenExchange';
const BY_ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** Entra's answer to this form: `[status, body]`. */
function entra(form) {
  const refuse = (status, error, code) => [status, { error, error_description: `AADSTS${code}: no`, error_codes: [code] }];
  const asserted = form.client_assertion_type === BY_ASSERTION ? claimsOf(form.client_assertion) : {};
  const give = (claims) => [200, { token_type: 'Bearer', expires_in: 3599, ext_expires_in: 3599, access_token: token(claims) }];
  if (form.client_id === 'blueprint') {
    const known = form.client_secret === 'blueprint-secret' || (asserted.at === 'metadata' && asserted.resource === EXCHANGE);
    if (!known) return refuse(401, 'invalid_client', 7000215);
    if (form.grant_type !== 'client_credentials' || form.scope !== `${EXCHANGE}/.default`) return refuse(400, 'invalid_scope', 70011);
    if (!['agent-1', 'agent-2'].includes(form.fmi_path)) return refuse(400, 'invalid_request', 700222);
    stats.blueprint += 1;
    return give({ aud: EXCHANGE, fmi_path: form.fmi_path, appid: 'blueprint' });
  }
  // An agent identity has no secret: only what its blueprint got for it.
  if (asserted.aud !== EXCHANGE || asserted.fmi_path !== form.client_id) return refuse(401, 'invalid_client', 700213);
  const onBehalfOf = form.grant_type === 'urn:ietf:params:oauth:grant-type:jwt-bearer' && form.requested_token_use === 'on_behalf_of';
  if (form.grant_type !== 'client_credentials' && !onBehalfOf) return refuse(400, 'unsupported_grant_type', 70003);
  stats.agent_identity += 1;
  const subject = onBehalfOf ? { sub: JSON.parse(Buffer.from(form.assertion.split('.')[1], 'base64url')).sub } : {};
  return give({ appid: form.client_id, scope: form.scope, ...subject });
}

const server = createServer((request, response) => {
  const url = new URL(request.url, 'http://azure');
  const answer = (status, body) => {
    response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' });
    response.end(JSON.stringify(body));
  };
  const query = Object.fromEntries(url.searchParams);
  const now = Math.floor(Date.now() / 1000);
  if (request.method === 'POST' && url.pathname === '/tenant/oauth2/v2.0/token') {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    return request.on('end', () => answer(...entra(Object.fromEntries(new URLSearchParams(Buffer.concat(parts).toString())))));
  }
  if (request.method !== 'GET') return answer(405, { error: 'invalid_request' });
  if (url.pathname === '/control/stats') return answer(200, stats);
  if (url.pathname === '/metadata/identity/oauth2/token') {
    // The service refuses what a forwarded or redirected request could look like.
    if (request.headers.metadata !== 'true' || request.headers['x-forwarded-for']) {
      return answer(400, { error: 'invalid_request', error_description: 'Required metadata header not specified' });
    }
    if (query['api-version'] !== '2018-02-01' || !query.resource) return answer(400, { error: 'invalid_request' });
    if (query.client_id === 'unknown') return answer(400, { error: 'invalid_request', error_description: 'Identity not found' });
    stats.metadata += 1;
    return answer(200, {
      access_token: token({ at: 'metadata', ...query }),
      client_id: query.client_id ?? 'system',
      expires_in: '86399',
      expires_on: String(now + 86399),
      ext_expires_in: '86399',
      not_before: String(now - 300),
      resource: query.resource,
      token_type: 'Bearer',
    });
  }
  if (url.pathname === '/msi/token') {
    if (request.headers['x-identity-header'] !== HEADER) return answer(401, { statusCode: 401, message: 'Unauthorized' });
    if (query['api-version'] !== '2019-08-01' || !query.resource) return answer(400, { statusCode: 400, message: 'bad request' });
    stats.app_service += 1;
    return answer(200, {
      access_token: token({ at: 'app_service', ...query }),
      expires_on: String(now + 3600),
      resource: query.resource,
      token_type: 'Bearer',
      client_id: query.client_id ?? 'system',
    });
  }
  return answer(404, { error: 'not_found' });
});

server.listen(Number(args.port), '127.0.0.1', () => ready(server.address().port));
stopOnSignal(server);
