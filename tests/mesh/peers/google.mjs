// The metadata server of Google Cloud, as documented: access tokens and ID tokens of the machine's service accounts, and one of
// its attributes. The tokens say what was asked, and for which host.
//
//   node google.mjs [--port N]
//
// GET /control/stats answers {"token": how many access tokens were given, "identity", "attribute": the same of the others}. Service account
// `slow@…` is never answered, and one that it does not know with 404.

import { createServer } from 'node:http';
import { options, ready, stopOnSignal } from './process.mjs';

const args = options({ port: '0' });
const stats = { token: 0, identity: 0, attribute: 0 };
const ACCOUNTS = '/computeMetadata/v1/instance/service-accounts/';
const KNOWN = { default: '1234-compute@developer.gserviceaccount.com', 'agent@project.iam.gserviceaccount.com': 'agent@project.iam.gserviceaccount.com' };

const encoded = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

const server = createServer((request, response) => {
  const url = new URL(request.url, 'http://metadata');
  const answer = (status, body) => {
    const isJson = typeof body !== 'string';
    const type = isJson ? 'application/json' : 'text/html';
    response.writeHead(status, { 'content-type': type, 'metadata-flavor': 'Google', server: 'Metadata Server for VM' });
    response.end(isJson ? JSON.stringify(body) : body);
  };
  if (url.pathname === '/control/stats') return answer(200, stats);
  if (request.method !== 'GET') return answer(405, 'Method not allowed');
  // The server takes nothing that a browser, a redirect or a proxy in between could have sent.
  if (request.headers['metadata-flavor'] !== 'Google') return answer(403, 'Missing Metadata-Flavor:Google header.');
  if (request.headers['x-forwarded-for']) return answer(403, 'X-Forwarded-For is not allowed.');
  if (url.pathname === '/computeMetadata/v1/instance/attributes/key') {
    stats.attribute += 1;
    return answer(200, 'key-of-the-machine');
  }
  const [account, kind, ...rest] = url.pathname.startsWith(ACCOUNTS) ? url.pathname.slice(ACCOUNTS.length).split('/') : [];
  if (account === 'slow@project.iam.gserviceaccount.com') return;
  const email = KNOWN[account];
  if (!email || rest.length) return answer(404, 'The requested URL was not found on this server.');
  const now = Math.floor(Date.now() / 1000);
  const query = Object.fromEntries(url.searchParams);
  if (kind === 'token') {
    if (Object.keys(query).some((name) => name !== 'scopes')) return answer(400, 'unexpected parameter');
    stats.token += 1;
    const said = encoded({ email, host: request.headers.host, scopes: query.scopes?.split(',') ?? [] });
    return answer(200, { access_token: `ya29.${said}`, expires_in: 3599, token_type: 'Bearer' });
  }
  if (kind === 'identity') {
    if (!query.audience) return answer(400, 'non-empty audience parameter required');
    stats.identity += 1;
    const claims = { aud: query.audience, iss: 'https://accounts.google.com', iat: now, exp: now + 3600, sub: '1234', host: request.headers.host };
    const full = query.format === 'full' && { email, email_verified: true, google: { compute_engine: { project_id: 'project' } } };
    // The JWT is all of the answer, without a line break behind it.
    return answer(200, `${encoded({ alg: 'RS256', kid: '1', typ: 'JWT' })}.${encoded({ ...claims, ...full })}.c2ln`);
  }
  return answer(404, 'The requested URL was not found on this server.');
});

server.listen(Number(args.port), '127.0.0.1', () => ready(server.address().port));
stopOnSignal(server);
