// The authorization server of the mesh: oidc-provider issuing JWT access tokens (RFC 9068) to clients that
// use client credentials (RFC 6749 4.4) and name the resource they want to call (RFC 8707), and exchanging tokens
// (`token_grants.mjs`). For one resource it issues opaque tokens, and answers what they are worth (RFC 7662); every token
// can be revoked (RFC 7009).
//
//   node authorization_server.mjs [--port N] [--keys FILE] [--tls FILE] [--trusts ISSUER]
//
// With --trusts it takes the ID-JAGs of that identity provider.
//
// With --tls it speaks TLS and knows clients by their certificates (RFC 8705): FILE is {"cert", "key" (its own), "ca" (whose clients
// are verified), "self_signed" (the certificate that one client registered)}, all in PEM.
//
// Beside oidc-provider's own endpoints it answers, for tests:
//   POST /control/rotate   a new signing key comes in front, the older keys stay in the JWKS
//   GET  /control/stats    {"jwks": how often the JWKS was fetched, "token": how often a token was asked for,
//                           "issued": how many tokens each client got, "introspection": how often one was asked about}
//   GET  /control/keys     the private keys (PEM) of the clients that sign their assertions, by client
//   GET  /control/assertion  an assertion of client federated, as somebody else would sign and renew it

import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { X509Certificate, createPublicKey, generateKeyPair } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { options, ready, stopOnSignal } from './process.mjs';

// oidc-provider tells about its defaults on stdout, which belongs to the READY line.
console.info = console.error;
const { default: Provider, errors } = await import('oidc-provider');
const { calculateJwkThumbprint } = await import('jose');
const { GRANTS, assertionOf, clientKeys, nameParties, registerGrants } = await import('./token_grants.mjs');

const OPAQUE = 'https://opaque.example.com';
const AUDIENCES = ['https://expense.example.com', 'https://other.example.com', 'https://partner.example.com', OPAQUE];
const SCOPES = ['agent:read', 'agent:execute', 'agent:admin'];
const CLIENTS = {
  caller: { secret: 'caller-secret', scopes: SCOPES, lifetime: 1800 },
  guest: { secret: 'guest-secret', scopes: SCOPES, lifetime: 1800 },
  brief: { secret: 'brief-secret', scopes: SCOPES, lifetime: 1 },
  limited: { secret: 'limited-secret', scopes: ['agent:read'], lifetime: 1800 },
  basic2: { secret: 'basic2-secret', scopes: SCOPES, lifetime: 1800, grants: GRANTS },
  brief2: { secret: 'brief2-secret', scopes: SCOPES, lifetime: 1800 },
  mirrored: { secret: 'mirrored-secret', scopes: SCOPES, lifetime: 1800 },
  behind: { secret: 'behind-secret', scopes: SCOPES, lifetime: 1800 },
  retried: { secret: 'retried-secret', scopes: SCOPES, lifetime: 1800 },
  basic: { secret: 'b:s%c r+et/&=', scopes: SCOPES, lifetime: 1800, method: 'client_secret_basic' },
  cold: { secret: 'cold-secret', scopes: SCOPES, lifetime: 1800 },
  half: { secret: 'half-secret', scopes: SCOPES, lifetime: 30 },
  rs256: { scopes: SCOPES, lifetime: 1800, method: 'private_key_jwt' },
  es256: { scopes: SCOPES, lifetime: 1800, method: 'private_key_jwt' },
  federated: { scopes: SCOPES, lifetime: 1800, method: 'private_key_jwt' },
  carded: { secret: 'carded-secret', scopes: SCOPES, lifetime: 1800 },
  exchanger: { secret: 'exchanger-secret', scopes: SCOPES, lifetime: 1800, grants: GRANTS },
  stranger: { secret: 'stranger-secret', scopes: SCOPES, lifetime: 1800 },
  attache: { secret: 'attache-secret', scopes: [], lifetime: 1800, method: 'client_secret_basic' },
};

const args = options({ port: '0', keys: '', tls: '', trusts: '' });
const tls = args.tls && JSON.parse(readFileSync(args.tls, 'utf8'));
if (tls) {
  CLIENTS.certified = { scopes: SCOPES, lifetime: 1800, method: 'tls_client_auth' };
  CLIENTS.self_signed = { scopes: SCOPES, lifetime: 1800, method: 'self_signed_tls_client_auth' };
}

/** What a client that is known by its certificate registered. */
function certificateOf(method) {
  if (method === 'tls_client_auth') return { tls_client_auth_san_uri: 'spiffe://corp/travel' };
  if (method !== 'self_signed_tls_client_auth') return {};
  const { raw } = new X509Certificate(tls.self_signed);
  const jwk = createPublicKey(tls.self_signed).export({ format: 'jwk' });
  return { jwks: { keys: [{ ...jwk, x5c: [raw.toString('base64')] }] } };
}

async function signingKey() {
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 });
  const jwk = privateKey.export({ format: 'jwk' });
  return { ...jwk, alg: 'RS256', use: 'sig', kid: await calculateJwkThumbprint(jwk) };
}

function save(keys) {
  if (!args.keys) return;
  writeFileSync(`${args.keys}.new`, JSON.stringify({ keys }), { mode: 0o600 });
  renameSync(`${args.keys}.new`, args.keys);
}

async function load() {
  if (args.keys && existsSync(args.keys)) return JSON.parse(readFileSync(args.keys, 'utf8')).keys;
  const keys = [await signingKey()];
  save(keys);
  return keys;
}

function resourceServer(resource, client) {
  if (!AUDIENCES.includes(resource)) throw new errors.InvalidTarget();
  return {
    audience: resource,
    scope: SCOPES.join(' '),
    accessTokenFormat: resource === OPAQUE ? 'opaque' : 'jwt',
    accessTokenTTL: CLIENTS[client.clientId].lifetime,
    jwt: { sign: { alg: 'RS256' } },
  };
}

function provider(issuer, keys) {
  const own = new Provider(issuer, {
    jwks: { keys },
    scopes: SCOPES,
    clients: Object.entries(CLIENTS).map(([client_id, { secret, scopes, method, grants }]) => ({
      client_id,
      client_secret: secret,
      ...(method === 'private_key_jwt' && {
        jwks: { keys: [signers[client_id].jwk] },
        token_endpoint_auth_signing_alg: signers[client_id].jwk.alg,
      }),
      ...certificateOf(method),
      token_endpoint_auth_method: method ?? 'client_secret_post',
      grant_types: ['client_credentials', ...(grants ?? [])],
      response_types: [],
      redirect_uris: [],
      ...(scopes.length && { scope: scopes.join(' ') }),
    })),
    ...(tls && { clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth'] }),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true, allowedPolicy: (_ctx, client) => client.clientId === 'attache' },
      revocation: { enabled: true },
      mTLS: {
        enabled: Boolean(tls),
        tlsClientAuth: true,
        selfSignedTlsClientAuth: true,
        getCertificate: (ctx) => ctx.socket.getPeerX509Certificate(),
        certificateAuthorized: (ctx) => ctx.socket.authorized,
        certificateSubjectMatches: (ctx, _property, expected) =>
          ctx.socket.getPeerX509Certificate().subjectAltName?.split(', ').includes(`URI:${expected}`) ?? false,
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo: (_ctx, resource, client) => resourceServer(resource, client),
      },
    },
    formats: { customizers: { jwt: nameParties } },
    ttl: { ClientCredentials: (_ctx, token) => token.resourceServer?.accessTokenTTL ?? 600 },
  });
  own.on('grant.success', (ctx) => {
    const { clientId } = ctx.oidc.client;
    stats.issued[clientId] = (stats.issued[clientId] ?? 0) + 1;
  });
  registerGrants(own, issuer, keys, resourceServer, args.trusts);
  return own;
}

let keys = await load();
let handle;
const stats = { jwks: 0, token: 0, introspection: 0, issued: {} };
const signers = await clientKeys(['rs256', 'es256', 'federated']);

async function serve(request, response) {
  const route = `${request.method} ${request.url.split('?')[0]}`;
  const answer = (body) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(body));
  };
  if (route === 'GET /control/stats') return answer(stats);
  if (route === 'GET /control/keys') return answer(Object.fromEntries(Object.entries(signers).map(([client, { pem }]) => [client, pem])));
  if (route === 'GET /control/assertion') return answer({ assertion: await assertionOf('federated', signers.federated, `${issuer}/token`) });
  if (route === 'POST /control/rotate') {
    const key = await signingKey();
    keys = [key, ...keys];
    save(keys);
    handle = provider(issuer, keys).callback();
    return answer({ kid: key.kid });
  }
  if (route === 'GET /jwks') stats.jwks += 1;
  if (route === 'POST /token') stats.token += 1;
  if (route === 'POST /token/introspection') stats.introspection += 1;
  return handle(request, response);
}

const server = tls
  ? createTlsServer({ cert: tls.cert, key: tls.key, ca: tls.ca, requestCert: true, rejectUnauthorized: false }, serve)
  : createServer(serve);
let issuer;
server.listen(Number(args.port), '127.0.0.1', () => {
  const { port } = server.address();
  issuer = `${tls ? 'https' : 'http'}://127.0.0.1:${port}`;
  handle = provider(issuer, keys).callback();
  ready(port);
});
stopOnSignal(server);
