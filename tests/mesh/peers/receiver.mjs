// A receiver of notifications. It verifies the token of each as a receiver should: with the keys that it knows for the issuer, for
// itself, once, and about the task in the body.
//
//   node receiver.mjs [--port N]

import { createServer } from 'node:http';
import { createRemoteJWKSet, exportJWK, exportPKCS8, generateKeyPair, jwtVerify } from 'jose';
import { options, ready, stopOnSignal } from './process.mjs';

const ALGORITHMS = ['ES256', 'RS256'];
/** Whom it trusts: `{issuer, jwks}`. */
let trusted;
const seen = new Set();
const notifications = [];

/** The task that a notification is about. */
function taskOf(body) {
  const { task, message, statusUpdate, artifactUpdate, kind, id, taskId } = body;
  if (kind) return kind === 'task' ? id : taskId;
  return task ? task.id : (message ?? statusUpdate ?? artifactUpdate).taskId;
}

async function verify(request, body) {
  const token = request.headers.authorization?.match(/^Bearer ([\w-]+\.[\w-]+\.[\w-]+)$/)?.[1];
  if (!token) return null;
  const audience = `http://${request.headers.host}`;
  const wanted = { issuer: trusted.issuer, audience, algorithms: ALGORITHMS, requiredClaims: ['iat', 'exp', 'jti', 'taskId'] };
  const { payload, protectedHeader } = await jwtVerify(token, trusted.jwks, wanted);
  if (seen.has(payload.jti)) throw new Error('this token was here before');
  seen.add(payload.jti);
  if (payload.taskId !== taskOf(body)) throw new Error('the token is for another task');
  return { claims: payload, header: protectedHeader };
}

async function read(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}

/** Keys for whoever signs: a private one in PEM and its public half, by algorithm. */
async function newKeys() {
  const keys = {};
  for (const algorithm of ALGORITHMS) {
    const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
    const jwk = { ...(await exportJWK(publicKey)), kid: algorithm, use: 'sig', alg: algorithm };
    keys[algorithm] = { pem: await exportPKCS8(privateKey), jwk };
  }
  return keys;
}

async function answer(request, response) {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost');
  const say = (value) => response.setHeader('content-type', 'application/json').end(JSON.stringify(value));
  const text = await read(request);
  if (pathname === '/control/keys') return say(await newKeys());
  if (pathname === '/control/notifications') return say({ notifications });
  if (pathname === '/control/trust') {
    const { issuer, jwks_uri } = JSON.parse(text);
    trusted = { issuer, jwks: createRemoteJWKSet(new URL(jwks_uri)) };
    return say({});
  }
  const told = { method: request.method, path: request.url, headers: request.headers };
  try {
    told.body = JSON.parse(text);
    told.token = await verify(request, told.body);
  } catch (error) {
    told.error = String(error);
  }
  notifications.push(told);
  response.statusCode = Number(searchParams.get('answer') ?? (told.error ? 401 : 204));
  response.end();
}

const { port } = options({ port: '0' });
const server = createServer({ keepAliveTimeout: 600_000 }, (request, response) => {
  answer(request, response).catch((error) => response.writeHead(500).end(String(error)));
});
stopOnSignal(server);
server.listen(Number(port), '127.0.0.1', () => ready(server.address().port));
