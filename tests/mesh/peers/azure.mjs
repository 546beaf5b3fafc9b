// The endpoints from which Azure gives its machines tokens, as documented: the metadata endpoint of virtual machines
// (api-version 2018-02-01) and the identity endpoint of App Service (api-version 2019-08-01). The tokens say what was asked.
//
//   node azure.mjs [--port N]
//
// GET /control/stats answers {"metadata": how many tokens were given, "app_service": …}.

import { createServer } from 'node:http';
import { options, ready, stopOnSignal } from './process.mjs';

const args = options({ port: '0' });
const stats = { metadata: 0, app_service: 0 };
const HEADER = '853b9a84-5bfa-4b22-a3f3-0b9a43d9ad8a';

/** A token in the shape of a JWT whose claims are `claims`. */
const token = (claims) => `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`;

const server = createServer((request, response) => {
  const url = new URL(request.url, 'http://azure');
  const answer = (status, body) => {
    response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' });
    response.end(JSON.stringify(body));
  };
  const query = Object.fromEntries(url.searchParams);
  const now = Math.floor(Date.now() / 1000);
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
