// What tests ask of `user_server.mjs`, at its control port:
//
//   GET  /control/stats      {"authorization" (requests), "granted" and "refused" (token requests by grant type), "granted_to" (by user
//                            and grant type), "revocation" (requests), "reused" (refresh tokens that were used twice), "jwks"}
//   GET  /control/requests   the last 1000 requests for authorization and tokens: {"endpoint", "params", "client"}
//   GET  /control/jwks       the server's keys, for who cannot speak TLS with it
//   GET  /control/keys       {"attache-signed": its private key in PEM}
//   POST /control/token      {"user", "client_id", "resource", "scope", …}: the token answer of a code flow in which the user has
//                            signed in and allowed everything; the other members are parameters of the authorization request
//   GET  /control/ciba       requests that wait for a user: {"auth_req_id", "user", "binding_message", "scope"}
//   POST /control/ciba?approve=WHICH, ?deny=WHICH   the user decides: of an `auth_req_id`, or the latest of a user
//   POST /control/revoke?user=U     takes back every grant of that user
//   POST /control/expire            ends all sessions: everybody must sign in again
//   POST /control/deny?error=E&description=D   what a person who denies answers with from now on, in place of access_denied
//   POST /control/fail?path=P&status=N&times=M   the next M requests to P are answered with that status
//   POST /control/response   {"iss": …}: parameters of authorization responses from now on, other than they would be; null leaves one away
//   POST /control/id_token   {"nonce": …}: the same for the claims of ID tokens
//   POST /control/answer?grant_type=G   {"refresh_token": …}: the same for token answers to that grant type

import { randomBytes, createHash } from 'node:crypto';
import { request as overHttp } from 'node:http';
import { request as overTls } from 'node:https';
import { SignJWT, decodeJwt, decodeProtectedHeader, importJWK } from 'jose';
import { errors } from 'oidc-provider';

const KEPT = 1000;
const count = (counts, name) => {
  counts[name] = (counts[name] ?? 0) + 1;
};
/** What came in an object, with members of another in place of its own; `null` takes one away. */
const bent = (own, bend) => Object.fromEntries(Object.entries({ ...own, ...bend }).filter(([, value]) => value !== null));

export class Control {
  #stats = { authorization: 0, granted: {}, refused: {}, granted_to: {}, revocation: 0, reused: 0, jwks: 0 };
  #requests = [];
  #denial = { error: 'access_denied', error_description: 'the user said no' };
  #failing = [];
  #response = {};
  #claims = {};
  #answers = {};
  #waiting = new Map();

  constructor(known) {
    Object.assign(this, known);
  }

  /** From now on it knows what `provider` does. */
  watch(provider, { issuer, port }) {
    Object.assign(this, { provider, issuer, port });
    provider.on('grant.success', (ctx) => {
      const { grant_type: type } = ctx.oidc.params;
      count(this.#stats.granted, type);
      const account = ctx.oidc.entities.Account?.accountId;
      if (account) count((this.#stats.granted_to[account] ??= {}), type);
      this.#note('token', ctx);
    });
    provider.on('grant.error', (ctx, error) => {
      count(this.#stats.refused, ctx.oidc.params?.grant_type ?? 'none');
      if (error.error_detail === 'refresh token already used') this.#stats.reused += 1;
      this.#note('token', ctx, error.error);
    });
    provider.on('authorization.success', (_ctx, out) => {
      for (const [name, value] of Object.entries(this.#response)) out[name] = value ?? undefined;
    });
    provider.use(async (ctx, next) => {
      await next();
      const answer = ctx.body?.access_token && this.#answers[ctx.oidc?.params?.grant_type];
      if (answer) ctx.body = bent(ctx.body, answer);
      if (ctx.body?.id_token && Object.keys(this.#claims).length) ctx.body = { ...ctx.body, id_token: await this.#signed(ctx.body.id_token) };
    });
  }

  #note(endpoint, ctx, error) {
    const params = ctx.oidc.params?.toPlainObject() ?? {};
    this.#requests.push({ endpoint, client: ctx.oidc.client?.clientId, params, ...(error && { error }) });
    if (this.#requests.length > KEPT) this.#requests.shift();
  }

  /** An ID token with other claims, signed as the server signs. */
  async #signed(token) {
    const { alg, kid, typ } = decodeProtectedHeader(token);
    const header = { alg, kid, ...(typ && { typ }) };
    return new SignJWT(bent(decodeJwt(token), this.#claims)).setProtectedHeader(header).sign(await importJWK(this.key, alg));
  }

  /** Counts a request. */
  count(method, path, url) {
    if (path === '/auth') {
      this.#stats.authorization += 1;
      this.#requests.push({ endpoint: 'authorization', params: Object.fromEntries(new URL(url, this.issuer).searchParams) });
      if (this.#requests.length > KEPT) this.#requests.shift();
    }
    if (path === '/jwks') this.#stats.jwks += 1;
    if (method === 'POST' && path === '/token/revocation') this.#stats.revocation += 1;
  }

  /** Whether a request fails because a test wants it; then it is answered. */
  isOut(path, response) {
    const at = this.#failing.findIndex((one) => one.path === path && one.times > 0);
    if (at < 0) return false;
    this.#failing[at].times -= 1;
    response.writeHead(this.#failing[at].status, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ error: 'temporarily_unavailable', error_description: 'it fails because a test wants that' }));
    return true;
  }

  /** What the interaction ends with of a person who denies. */
  denial() {
    return this.#denial;
  }

  /** A CIBA request that waits for its user. */
  asked(request) {
    const { jti, accountId, params } = request;
    this.#waiting.set(jti, { auth_req_id: jti, user: accountId, binding_message: params.binding_message, scope: params.scope });
  }

  async #decide(which, approved) {
    const waiting = [...this.#waiting.values()].reverse().find((one) => one.auth_req_id === which || one.user === which);
    if (!waiting) throw new Error(`nothing waits for ${which}`);
    this.#waiting.delete(waiting.auth_req_id);
    const request = await this.provider.BackchannelAuthenticationRequest.find(waiting.auth_req_id);
    if (!approved) return this.provider.backchannelResult(request, new errors.AccessDenied('the user said no'));
    const grant = new this.provider.Grant({ accountId: request.accountId, clientId: request.clientId });
    grant.addOIDCScope(request.scope);
    for (const resource of [request.resource ?? []].flat()) grant.addResourceScope(resource, request.scope);
    await grant.save();
    return this.provider.backchannelResult(request, grant);
  }

  /** One request to the server, as anybody may send it. */
  #ask(method, path, headers = {}, body = '') {
    const url = new URL(this.issuer);
    const send = url.protocol === 'https:' ? overTls : overHttp;
    const more = url.protocol === 'https:' && { ca: this.ca, servername: url.hostname };
    const length = body && { 'content-type': 'application/x-www-form-urlencoded', 'content-length': Buffer.byteLength(body) };
    return new Promise((resolve, reject) => {
      const sent = send({ host: '127.0.0.1', port: this.port, method, path, headers: { host: url.host, ...length, ...headers }, ...more }, async (response) => {
        let text = '';
        for await (const chunk of response) text += chunk;
        resolve({ status: response.statusCode, headers: response.headers, text });
      });
      sent.on('error', reject);
      sent.end(body);
    });
  }

  /** A code flow from its beginning to its tokens, by a user who signs in and allows everything. */
  async #tokens({ user, client_id: client = 'orchestrator', ...asked }) {
    const verifier = randomBytes(32).toString('base64url');
    const redirect = `${this.issuer}/control/code`;
    const query = new URLSearchParams({
      ...{ response_type: 'code', client_id: client, redirect_uri: redirect, scope: 'openid', state: 'state' },
      ...{ code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256' },
      ...asked,
    });
    const cookies = new Map();
    const answers = new URLSearchParams({ account: user, password: `${user}-password`, decision: 'allow' }).toString();
    let path = `/auth?${query}`;
    let code;
    while (!code) {
      const post = path.startsWith('/interaction/');
      const headers = { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') };
      const reply = await this.#ask(post ? 'POST' : 'GET', path, headers, post ? answers : '');
      for (const cookie of reply.headers['set-cookie'] ?? []) {
        const [, name, value] = cookie.match(/^([^=]+)=([^;]*)/);
        cookies.set(name, value);
      }
      if (reply.status !== 303) throw new Error(`${path.split('?')[0]}: ${reply.status} ${reply.text}`);
      const next = new URL(reply.headers.location, this.issuer);
      code = next.searchParams.get('code');
      if (next.searchParams.has('error')) throw new Error(String(next.searchParams));
      path = next.pathname + next.search;
    }
    const form = new URLSearchParams({ grant_type: 'authorization_code', code, redirect_uri: redirect, code_verifier: verifier });
    if (asked.resource) form.set('resource', asked.resource);
    const basic = Buffer.from(`${client}:${client}-secret`).toString('base64');
    const reply = await this.#ask('POST', '/token', { authorization: `Basic ${basic}` }, form.toString());
    return { status: reply.status, ...JSON.parse(reply.text) };
  }

  async #act(method, path, query, body) {
    switch (`${method} ${path}`) {
      case 'GET /control/stats':
        return this.#stats;
      case 'GET /control/requests':
        return { requests: this.#requests };
      case 'GET /control/jwks':
        return JSON.parse((await this.#ask('GET', '/jwks')).text);
      case 'GET /control/keys':
        return Object.fromEntries(Object.entries(this.signers).map(([client, { pem }]) => [client, pem]));
      case 'GET /control/ciba':
        return { waiting: [...this.#waiting.values()] };
      case 'POST /control/token':
        return this.#tokens(body);
      case 'POST /control/ciba':
        await this.#decide(query.get('approve') ?? query.get('deny'), query.has('approve'));
        return {};
      case 'POST /control/revoke':
        return { revoked: this.store.revoke(query.get('user')) };
      case 'POST /control/expire':
        return { expired: this.store.forget('Session') };
      case 'POST /control/deny':
        this.#denial = { error: query.get('error') ?? 'access_denied', error_description: query.get('description') ?? 'the user said no' };
        return {};
      case 'POST /control/fail':
        this.#failing.push({ path: query.get('path'), status: Number(query.get('status')), times: Number(query.get('times') ?? 1) });
        return {};
      case 'POST /control/response':
        this.#response = body;
        return {};
      case 'POST /control/id_token':
        this.#claims = body;
        return {};
      case 'POST /control/answer':
        this.#answers[query.get('grant_type')] = body;
        return {};
      default:
        return undefined;
    }
  }

  /** Answers a test. */
  async serve(request, response) {
    const { pathname, searchParams } = new URL(request.url, 'http://control');
    let text = '';
    for await (const chunk of request) text += chunk;
    let [status, told] = [200, undefined];
    try {
      told = await this.#act(request.method, pathname, searchParams, text ? JSON.parse(text) : {});
    } catch (error) {
      [status, told] = [400, { error: error.message }];
    }
    response.writeHead(told ? status : 404, { 'content-type': 'application/json' });
    response.end(JSON.stringify(told ?? { error: `no ${request.method} ${pathname}` }));
  }
}
