// An authorization server at which users sign in and consent, on oidc-provider: of the organization whose users call (it issues
// their access tokens, too), or of a partner who has accounts for them. Code flow with PKCE S256, refresh tokens that rotate, device
// flow, CIBA, revocation, JWT access tokens for a `resource`.
//
//   node user_server.mjs [--port N] [--redirect URI]... [--resource URI]... [--client JSON]... and what DEFAULTS names
//
// READY has `port` and `control_port`: what tests ask of it (`user_control.mjs`) is in the clear on a port of its own.
//
//   --redirect URI        a redirect URI of the clients, compared letter by letter
//   --resource URI        one more resource; without --default-resource a request that names none gets an opaque token
//   --client JSON         one more client, in the words of OpenID Connect's registration
//   --lifetime S          of access tokens, in seconds
//   --refresh WHEN        refresh tokens: `always`, `offline` (with scope offline_access, which needs prompt=consent), `never`
//   --rotate no           a refresh gives the same refresh token again
//   --pending S           how long flows of devices and of CIBA wait for their users, in seconds
//   --interval S          for polls (device flow, CIBA): named in the answer, and an earlier poll is answered slow_down
//   --ping URI            the clients of CIBA are called there (https) when the user has decided; without it they poll
//   --ping-port N --ping-ca FILE   that URI's server is at 127.0.0.1:N, and known by this certificate (PEM)
//   --entra TENANT        claims as Microsoft Entra has them: `tid`, `oid`, and a `sub` that is another for each client
//   --quick yes           authorization requests may have `quick_user=U`: U is signed in and allows everything, without a page. For
//                         thousands of users; the rest of the flow is as ever
//   --keys FILE           keeps the signing key
//   --state FILE          what it remembers lies there when it ends, and is there again when it starts
//   --tls FILE --origin URL   speaks TLS (FILE is {"cert", "key", "ca"} in PEM) as URL, a host that browsers are told to find here
//
// Accounts: `ann`, `bob`, `user-N`, and some who look like ann; the password of each is `<account>-password`.
// Clients: `attache` (client_secret_basic), `attache-post`, `attache-signed` (private_key_jwt), `attache-public`; `orchestrator` and
// `other`, agents that users call through; `service`, which has no user. The secret of each is `<client>-secret`.

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer, request as overTls } from 'node:https';
import { options, ready, stopOnSignal } from './process.mjs';
import { consent, devicePages, failed, login } from './user_pages.mjs';
import { Store } from './user_store.mjs';

// oidc-provider tells about its defaults on stdout, which belongs to the READY line.
console.info = console.error;
const { default: Provider, errors } = await import('oidc-provider');
const { calculateJwkThumbprint, exportJWK, generateKeyPair } = await import('jose');
const { clientKeys } = await import('./token_grants.mjs');
const { Control } = await import('./user_control.mjs');

const DEFAULTS = {
  ...{ port: '0', keys: '', state: '', tls: '', origin: '', redirect: [], resource: [], 'default-resource': '', client: [] },
  ...{ lifetime: '600', refresh: 'always', rotate: 'yes', pending: '600', interval: '', entra: '' },
  ...{ ping: '', 'ping-port': '', 'ping-ca': '', quick: '' },
};
const args = options(DEFAULTS);

const ACCOUNTS = ['ann', 'bob', 'Ann', 'ann ', '\u0430nn'];
const RESOURCES = ['https://orchestrator.example', 'https://expense.example.com', 'https://hr.example', ...args.resource];
const SCOPES = ['tasks.read', 'tasks.write', 'agent:read', 'agent:execute'];
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';
const CIBA = 'urn:openid:params:grant-type:ciba';
const POLLS = [DEVICE, CIBA];

const tls = args.tls && JSON.parse(readFileSync(args.tls, 'utf8'));
const store = args.state && existsSync(args.state) ? Store.of(readFileSync(args.state, 'utf8')) : new Store();

async function signingKeys() {
  if (args.keys && existsSync(args.keys)) return JSON.parse(readFileSync(args.keys, 'utf8')).keys;
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  const jwk = await exportJWK(privateKey);
  const keys = [{ ...jwk, alg: 'RS256', use: 'sig', kid: await calculateJwkThumbprint(jwk) }];
  if (args.keys) {
    writeFileSync(`${args.keys}.new`, JSON.stringify({ keys }), { mode: 0o600 });
    renameSync(`${args.keys}.new`, args.keys);
  }
  return keys;
}

/** The name of an account that is the same for all clients of Entra (`oid`). */
const objectId = (account) => {
  const hex = createHash('sha256').update(`oid ${account}`).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-');
};
const entraClaims = (account) => (args.entra ? { tid: args.entra, oid: objectId(account) } : {});

/** When the user signed in (RFC 9068 section 2.2.1): tokens of services do not have it. */
function signedIn({ oidc: { entities } }) {
  const { authTime } = entities.AuthorizationCode ?? entities.RefreshToken ?? entities.DeviceCode ?? {};
  return authTime && { auth_time: authTime };
}

/** Accounts by the subjects that pairwise clients know them by: an `id_token_hint` has one of those. */
const bySubject = new Map();

function clients(signers, controlRedirect) {
  const code = ['authorization_code', 'refresh_token'];
  const polling = args.entra ? [] : POLLS;
  const ciba = args.ping
    ? { backchannel_token_delivery_mode: 'ping', backchannel_client_notification_endpoint: args.ping }
    : { backchannel_token_delivery_mode: 'poll' };
  const redirects = [...args.redirect, controlRedirect];
  const party = (client_id, method, more = {}) => ({
    client_id,
    ...(method.startsWith('client_secret') && { client_secret: `${client_id}-secret` }),
    token_endpoint_auth_method: method,
    grant_types: [...code, ...polling],
    response_types: ['code'],
    redirect_uris: redirects,
    ...(polling.length && ciba),
    ...(args.entra && { subject_type: 'pairwise', sector_identifier_uri: `https://${client_id}.example.com/sector` }),
    ...more,
  });
  const service = { grant_types: ['client_credentials'], response_types: [], redirect_uris: [], subject_type: 'public', sector_identifier_uri: undefined };
  return [
    party('attache', 'client_secret_basic', { client_name: 'Attaché' }),
    party('attache-post', 'client_secret_post'),
    party('attache-signed', 'private_key_jwt', { jwks: { keys: [signers['attache-signed'].jwk] }, token_endpoint_auth_signing_alg: 'RS256' }),
    party('attache-public', 'none'),
    party('orchestrator', 'client_secret_basic'),
    party('other', 'client_secret_basic'),
    party('service', 'client_secret_basic', service),
    ...args.client.map((one) => JSON.parse(one)),
  ];
}

function resourceServer(resource) {
  if (!RESOURCES.includes(resource)) throw new errors.InvalidTarget();
  const jwt = { sign: { alg: 'RS256' } };
  return { audience: resource, scope: SCOPES.join(' '), accessTokenFormat: 'jwt', accessTokenTTL: Number(args.lifetime), jwt };
}

const isAccount = (account) => ACCOUNTS.includes(account) || /^user-\d+$/.test(account);

async function findAccount(_ctx, subject) {
  const accountId = bySubject.get(subject) ?? subject;
  if (!isAccount(accountId)) return undefined;
  const email = `${encodeURIComponent(accountId)}@example.com`;
  const claims = async () => ({ sub: accountId, email, email_verified: accountId !== 'bob', name: accountId, ...entraClaims(accountId) });
  return { accountId, claims };
}

/** For `--quick`: a parameter of the authorization request in place of the pages. */
const quick = {
  extraParams: {
    quick_user(ctx, user) {
      if (user) ctx.oidc.session.loginAccount({ accountId: user, transient: true });
    },
  },
  async loadExistingGrant(ctx) {
    const { params, resourceServers, account, client, requestParamScopes, requestParamOIDCScopes } = ctx.oidc;
    const grantId = ctx.oidc.result?.consent?.grantId ?? ctx.oidc.session.grantIdFor(client.clientId);
    if (grantId || !params.quick_user) return grantId && provider.Grant.find(grantId);
    const grant = new provider.Grant({ accountId: account.accountId, clientId: client.clientId });
    grant.addOIDCScope([...requestParamOIDCScopes].join(' '));
    for (const resource of Object.keys(resourceServers)) grant.addResourceScope(resource, [...requestParamScopes].join(' '));
    await grant.save();
    return grant;
  },
};

function configuration(keys, signers, control) {
  return {
    adapter: (model) => store.adapter(model),
    jwks: { keys },
    clients: clients(signers, `${issuer}/control/code`),
    scopes: ['openid', 'offline_access', ...SCOPES],
    claims: { openid: ['sub', 'tid', 'oid'], email: ['email', 'email_verified'], profile: ['name'] },
    conformIdTokenClaims: false,
    findAccount,
    ...(args.ping && { fetch: fetchAt }),
    ...(args.quick && quick),
    extraTokenClaims: (ctx, token) => (token.accountId ? { ...entraClaims(token.accountId), ...signedIn(ctx) } : undefined),
    subjectTypes: args.entra ? ['public', 'pairwise'] : ['public'],
    sectorIdentifierUriValidate: () => false,
    async pairwiseIdentifier(_ctx, accountId, { clientId }) {
      const subject = createHash('sha256').update(`${clientId} ${accountId}`).digest('base64url');
      bySubject.set(subject, accountId);
      return subject;
    },
    // Two servers at 127.0.0.1 share their cookies, whatever their ports are.
    cookies: {
      keys: [createHash('sha256').update(keys[0].d).digest('hex')],
      names: { session: `_session_${port}`, interaction: `_interaction_${port}`, resume: `_resume_${port}` },
    },
    pkce: { required: () => true },
    rotateRefreshToken: args.rotate !== 'no',
    issueRefreshToken: async (_ctx, client, source) =>
      args.refresh !== 'never' && client.grantTypeAllowed('refresh_token') && (args.refresh === 'always' || source.scopes.has('offline_access')),
    expiresWithSession: async () => false,
    interactions: { url: (_ctx, { uid }) => `/interaction/${uid}` },
    renderError: async (ctx, out) => {
      ctx.type = 'html';
      ctx.body = failed(out);
    },
    ttl: { BackchannelAuthenticationRequest: Number(args.pending), DeviceCode: Number(args.pending), AccessToken: Number(args.lifetime), ClientCredentials: Number(args.lifetime), Interaction: 3600, Session: 86400, Grant: 86400, IdToken: 3600, RefreshToken: 86400 },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      deviceFlow: { enabled: true, ...devicePages },
      ciba: {
        enabled: !args.entra,
        deliveryModes: ['poll', 'ping'],
        triggerAuthenticationDevice: (_ctx, request) => control.asked(request),
        validateBindingMessage: (_ctx, message) => {
          if (message && !/^[\w .,:#-]{1,64}$/.test(message)) throw new errors.InvalidBindingMessage('at most 64 letters, digits, blanks and . , : # - _');
        },
        validateRequestContext: () => {},
        processLoginHint: async (_ctx, hint) => (hint.endsWith('@example.com') ? decodeURIComponent(hint.slice(0, -'@example.com'.length)) : hint),
        verifyUserCode: () => {},
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: (_ctx, _client, oneOf) => oneOf ?? (args['default-resource'] || undefined),
        getResourceServerInfo: (_ctx, resource) => resourceServer(resource),
      },
    },
  };
}

/** What the server asks of its clients: for this it needs to know where they are. */
const fetchAt = (url, { method, headers, body }) =>
  new Promise((resolve, reject) => {
    const { hostname, pathname } = new URL(url);
    const at = { host: '127.0.0.1', port: Number(args['ping-port']), servername: hostname, ca: readFileSync(args['ping-ca']) };
    const sent = overTls({ ...at, path: pathname, method, headers: { host: hostname, ...Object.fromEntries(new Headers(headers)) } }, (response) => {
      response.resume();
      resolve(new Response(null, { status: response.statusCode }));
    });
    sent.on('error', reject);
    sent.end(body);
  });

/** Says how long to wait between polls, and is strict about it. */
function pace(provider) {
  const interval = Number(args.interval);
  const polls = new Map();
  provider.use(async (ctx, next) => {
    await next();
    if (!interval || !ctx.oidc) return;
    if (['backchannel_authentication', 'device_authorization'].includes(ctx.oidc.route) && ctx.status === 200) ctx.body = { ...ctx.body, interval };
    if (ctx.oidc.route !== 'token' || ctx.body?.error !== 'authorization_pending') return;
    const poll = ctx.oidc.params.device_code ?? ctx.oidc.params.auth_req_id;
    const early = Date.now() - (polls.get(poll) ?? 0) < interval * 1000;
    polls.set(poll, Date.now());
    if (early) ctx.body = { error: 'slow_down', error_description: 'you are polling too quickly' };
  });
}

async function form(request) {
  let text = '';
  for await (const chunk of request) text += chunk;
  return new URLSearchParams(text);
}

/** The grant under which a user allows all that a prompt of consent asks for. */
async function grantOf({ grantId, session, params, prompt: { details } }) {
  const grant = (grantId && (await provider.Grant.find(grantId))) || new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  if (details.missingOIDCScope) grant.addOIDCScope(details.missingOIDCScope.join(' '));
  if (details.missingOIDCClaims) grant.addOIDCClaims(details.missingOIDCClaims);
  for (const [resource, scopes] of Object.entries(details.missingResourceScopes ?? {})) grant.addResourceScope(resource, scopes.join(' '));
  return grant.save();
}

/** The pages of an interaction, and what a person answers on them. */
async function interact(request, response) {
  const interaction = await provider.interactionDetails(request, response);
  const { prompt, params, session } = interaction;
  const show = (html) => response.setHeader('content-type', 'text/html; charset=utf-8').setHeader('cache-control', 'no-store').end(html);
  const finish = (result, mergeWithLastSubmission) => provider.interactionFinished(request, response, result, { mergeWithLastSubmission });
  const answer = request.method === 'POST' && (await form(request));
  if (prompt.name === 'login') {
    if (!answer) return show(login(issuer, false));
    const account = answer.get('account');
    if (!isAccount(account) || answer.get('password') !== `${account}-password`) return show(login(issuer, true));
    return finish({ login: { accountId: account } }, false);
  }
  if (!answer) {
    const client = await provider.Client.find(params.client_id);
    return show(consent(session.accountId, client.clientName ?? client.clientId, (params.scope ?? '').split(' ')));
  }
  if (answer.get('decision') === 'allow') return finish({ consent: { grantId: await grantOf(interaction) } }, true);
  return finish(control.denial(), false);
}

async function serve(request, response) {
  const path = request.url.split('?')[0];
  if (control.isOut(path, response)) return;
  control.count(request.method, path, request.url);
  if (!path.startsWith('/interaction/')) return handle(request, response);
  try {
    await interact(request, response);
  } catch (error) {
    response.statusCode = error.statusCode ?? 500;
    response.setHeader('content-type', 'text/html; charset=utf-8');
    response.end(failed({ error: error.error ?? error.message, error_description: error.error_description }));
  }
}

const [keys, signers] = [await signingKeys(), await clientKeys(['attache-signed'])];
let handle, issuer, port, provider;
const server = tls ? createTlsServer({ cert: tls.cert, key: tls.key }, serve) : createServer(serve);
const control = new Control({ store, signers, key: keys[0], ca: tls && tls.ca, entra: args.entra });
await new Promise((listening) => server.listen(Number(args.port), '127.0.0.1', listening));
port = server.address().port;
issuer = args.origin || `${tls ? 'https' : 'http'}://127.0.0.1:${port}`;
provider = new Provider(issuer, configuration(keys, signers, control));
provider.on('server_error', (_ctx, error) => console.error(error));
pace(provider);
control.watch(provider, { issuer, port });
handle = provider.callback();
const controls = createServer((request, response) => control.serve(request, response));
await new Promise((listening) => controls.listen(0, '127.0.0.1', listening));
if (args.state) process.on('exit', () => writeFileSync(args.state, store.text(), { mode: 0o600 }));
stopOnSignal(server);
ready(port, { control_port: controls.address().port });
