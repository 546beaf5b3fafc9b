// Grants that oidc-provider leaves to its users: token exchange (RFC 8693) and the jwt-bearer grant in the form of Entra's
// on-behalf-of flow. Both take an access token of this server and issue one for another resource. Token exchange also gives ID-JAGs
// (draft-ietf-oauth-identity-assertion-authz-grant) for authorization servers of 127.0.0.1, and the jwt-bearer grant (RFC 7523)
// takes those of the identity provider that this server trusts, once each.
//
// Subject `guest` has not consented: its exchange is answered with interaction_required. Subject `limited` may not be exchanged, and
// subject `stranger` is unknown to the server that takes ID-JAGs.

import { generateKeyPair, randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import { SignJWT, createLocalJWKSet, createRemoteJWKSet, importJWK, importPKCS8, jwtVerify } from 'jose';
import { errors } from 'oidc-provider';

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const ID_JAG = 'urn:ietf:params:oauth:token-type:id-jag';
const ID_JAG_TYPE = 'oauth-id-jag+jwt';

export const GRANTS = [EXCHANGE, JWT_BEARER];

/** A key pair for each of these clients: `{name: {jwk (public), pem (private)}}`; RS256 but for `es256`. */
export async function clientKeys(names) {
  const generate = promisify(generateKeyPair);
  const entries = names.map(async (name) => {
    const { publicKey, privateKey } =
      name === 'es256' ? await generate('ec', { namedCurve: 'P-256' }) : await generate('rsa', { modulusLength: 2048 });
    const jwk = { ...publicKey.export({ format: 'jwk' }), kid: `${name}-1`, alg: name === 'es256' ? 'ES256' : 'RS256', use: 'sig' };
    return [name, { jwk, pem: privateKey.export({ type: 'pkcs8', format: 'pem' }) }];
  });
  return Object.fromEntries(await Promise.all(entries));
}

/** A client assertion of `client` for `audience` (RFC 7523). */
export async function assertionOf(client, { jwk, pem }, audience) {
  const key = await importPKCS8(pem, jwk.alg);
  const assertion = new SignJWT({}).setProtectedHeader({ alg: jwk.alg, kid: jwk.kid }).setIssuer(client).setSubject(client);
  return assertion.setAudience(audience).setJti(randomUUID()).setIssuedAt().setExpirationTime('10m').sign(key);
}

/** For `formats.customizers.jwt`: an exchanged token names its subject, and who acts for it. */
export function nameParties(ctx, _token, parts) {
  Object.assign(parts.payload, ctx?.oidc.entities.Onward);
}

/** Lets `provider` exchange the tokens that it signed with `keys` for ones of `resourceServer(resource, client)`. */
export function registerGrants(provider, issuer, keys, resourceServer, trusted) {
  const seen = new Set();
  const trustedKeys = trusted && createRemoteJWKSet(new URL(`${trusted}/jwks`));
  const publicKeys = createLocalJWKSet({ keys: keys.map(({ kty, kid, n, e, alg, use }) => ({ kty, kid, n, e, alg, use })) });

  /** The claims of an access token of ours. */
  async function verified(token, name) {
    try {
      return (await jwtVerify(token, publicKeys, { issuer, typ: 'at+jwt' })).payload;
    } catch (error) {
      throw new errors.InvalidGrant(`${name}: ${error.message}`);
    }
  }

  /** Answers with a token for `subject`, issued to the client at hand for the resource that it names. */
  async function issue(ctx, subject, actor, more) {
    if (subject.client_id === 'guest') {
      throw new errors.CustomOIDCProviderError('interaction_required', 'AADSTS65001: the user has not consented');
    }
    if (subject.client_id === 'limited') throw new errors.InvalidGrant('this subject may not be exchanged');
    const { client, params } = ctx.oidc;
    const token = new provider.ClientCredentials({ client, scope: params.scope });
    token.resourceServer = new provider.ResourceServer(params.resource, resourceServer(params.resource, client));
    ctx.oidc.entity('Onward', { sub: subject.sub, ...(actor && { act: { sub: actor.sub } }) });
    ctx.body = {
      access_token: await token.save(),
      token_type: 'Bearer',
      expires_in: token.expiration,
      scope: params.scope,
      ...more,
    };
  }

  /** Answers with an ID-JAG for `subject`: the client at hand will show it to the server that it names. */
  async function assertIdentity(ctx, subject) {
    if (subject.client_id === 'guest') throw new errors.CustomOIDCProviderError('interaction_required', 'the user has not consented');
    if (subject.client_id === 'limited') throw new errors.InvalidGrant('no identity assertion for this subject');
    const { client, params } = ctx.oidc;
    if (!params.audience?.startsWith('http://127.0.0.1:')) throw new errors.InvalidTarget();
    const [key] = keys;
    const claims = { client_id: client.clientId, resource: params.resource, scope: params.scope };
    const jag = new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: key.kid, typ: ID_JAG_TYPE }).setIssuer(issuer).setSubject(subject.sub);
    const signed = await jag.setAudience(params.audience).setJti(randomUUID()).setIssuedAt().setExpirationTime('5m').sign(await importJWK(key, 'RS256'));
    ctx.body = { issued_token_type: ID_JAG, access_token: signed, token_type: 'N_A', scope: params.scope, expires_in: 300 };
  }

  /** Takes an ID-JAG of the trusted identity provider, for the client at hand. */
  async function takeIdentity(ctx) {
    const { client, params } = ctx.oidc;
    let claims;
    try {
      claims = (await jwtVerify(params.assertion, trustedKeys, { issuer: trusted, audience: issuer, typ: ID_JAG_TYPE })).payload;
    } catch (error) {
      throw new errors.InvalidGrant(`assertion: ${error.message}`);
    }
    if (claims.client_id !== client.clientId) throw new errors.InvalidGrant('the assertion is for another client');
    if (claims.sub === 'stranger') throw new errors.InvalidGrant('nobody here has this subject');
    // RFC 7523 section 3 lets a server take each assertion once.
    if (seen.has(claims.jti)) throw new errors.InvalidGrant('the assertion was used before');
    seen.add(claims.jti);
    Object.assign(params, { resource: claims.resource, scope: claims.scope });
    await issue(ctx, { sub: claims.sub }, undefined, {});
  }

  provider.registerGrantType(
    EXCHANGE,
    async (ctx) => {
      const { params } = ctx.oidc;
      if (!params.subject_token || params.subject_token_type !== ACCESS_TOKEN) {
        throw new errors.InvalidRequest('subject_token and its type are required');
      }
      const subject = await verified(params.subject_token, 'subject_token');
      if (params.requested_token_type === ID_JAG) return assertIdentity(ctx, subject);
      const actor = params.actor_token && (await verified(params.actor_token, 'actor_token'));
      await issue(ctx, subject, actor, { issued_token_type: ACCESS_TOKEN });
    },
    ['subject_token', 'subject_token_type', 'actor_token', 'actor_token_type', 'requested_token_type', 'audience', 'resource', 'scope'],
  );

  provider.registerGrantType(
    JWT_BEARER,
    async (ctx) => {
      const { params } = ctx.oidc;
      if (trusted && !params.requested_token_use) return takeIdentity(ctx);
      if (params.requested_token_use !== 'on_behalf_of') throw new errors.InvalidRequest('requested_token_use must be on_behalf_of');
      await issue(ctx, await verified(params.assertion, 'assertion'), undefined, {});
    },
    ['assertion', 'requested_token_use', 'resource', 'scope'],
  );
}
