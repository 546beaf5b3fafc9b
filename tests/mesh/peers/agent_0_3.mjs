// An A2A 0.3 agent on the official SDK that echoes each request, over JSON-RPC at `/` and HTTP+JSON at `/v1/`: what
// `agent_0_3.py` is in Python, for what the two SDKs of 0.3 do not agree on.
//
//   node agent_0_3.mjs [--port N]
//
// A message that begins with `wait` leaves its task working until it is cancelled; the agent says every REPORT_MS that it
// still works. Push configurations are kept, and nothing is ever sent to their URLs.

import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import express from 'express';
import {
  DefaultExecutionEventBusManager,
  DefaultRequestHandler,
  InMemoryPushNotificationStore,
  InMemoryTaskStore,
} from 'a2a-js-0.3/server';
import { agentCardHandler, jsonRpcHandler, restHandler } from 'a2a-js-0.3/server/express';
import { options, ready, stopOnSignal } from './process.mjs';

const REPORT_MS = 250;
const KEPT_REQUESTS = 1000;

/** The request that is being answered, as it arrived. */
const received = new AsyncLocalStorage();
const requests = [];

/** Headers by name; a repeated one has a list of values. */
function gathered(raw) {
  const headers = {};
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at].toLowerCase();
    const [before, value] = [headers[name], raw[at + 1]];
    headers[name] = before === undefined ? value : [before, value].flat();
  }
  return headers;
}

/** Answers with one artifact that holds the request as it arrived. */
class Echo {
  cancelled = new Set();

  async execute({ userMessage, taskId, contextId }, bus) {
    const { headers, path } = received.getStore();
    const text = userMessage.parts.map((part) => part.text ?? '').join('');
    const report = (state, final = false) => {
      const status = { state, timestamp: new Date().toISOString() };
      bus.publish({ kind: 'status-update', taskId, contextId, status, final });
    };
    const status = { state: 'submitted', timestamp: new Date().toISOString() };
    bus.publish({ kind: 'task', id: taskId, contextId, status, history: [userMessage] });
    report('working');
    const parts = [{ kind: 'text', text: JSON.stringify({ agent: '0.3', text, headers, path }) }];
    const artifact = { artifactId: randomUUID(), name: 'echo', parts };
    bus.publish({ kind: 'artifact-update', taskId, contextId, artifact, lastChunk: true });
    while (text.startsWith('wait') && !this.cancelled.has(taskId)) {
      await pause(REPORT_MS);
      if (!this.cancelled.has(taskId)) report('working');
    }
    report(this.cancelled.delete(taskId) ? 'canceled' : 'completed', true);
    bus.finished();
  }

  async cancelTask(taskId) {
    this.cancelled.add(taskId);
  }
}

/** The card that states `url` for both bindings. */
function expenseCard(url) {
  return {
    name: 'Expense agent',
    description: 'Files and explains expense reports.',
    version: '1.0.0',
    protocolVersion: '0.3.0',
    url,
    preferredTransport: 'JSONRPC',
    additionalInterfaces: ['JSONRPC', 'HTTP+JSON'].map((transport) => ({ url, transport })),
    capabilities: { streaming: true, pushNotifications: true },
    supportsAuthenticatedExtendedCard: true,
    defaultInputModes: ['text/plain'],
    defaultOutputModes: ['text/plain'],
    securitySchemes: { bearer: { type: 'http', scheme: 'Bearer', bearerFormat: 'JWT' } },
    security: [{ bearer: [] }],
    skills: [
      {
        id: 'submit',
        name: 'Submit an expense',
        description: 'Records an expense and says what was recorded.',
        tags: ['expense'],
        examples: ['Taxi to the airport, 42 EUR'],
      },
    ],
  };
}

/** The card for callers that the agent knows: one more skill. */
function extendedCard(url) {
  const card = expenseCard(url);
  card.skills.push({
    id: 'audit',
    name: 'Audit the expenses',
    description: 'Lists what was recorded for a department.',
    tags: ['expense'],
  });
  return card;
}

function application(url) {
  const requestHandler = new DefaultRequestHandler(
    expenseCard(url),
    new InMemoryTaskStore(),
    new Echo(),
    new DefaultExecutionEventBusManager(),
    new InMemoryPushNotificationStore(),
    { send: async () => {} },
    extendedCard(url),
  );
  const app = express();
  app.get('/control/requests', (_request, response) => response.json({ requests }));
  app.use((request, _response, next) => {
    const seen = { method: request.method, path: request.originalUrl, headers: gathered(request.rawHeaders) };
    requests.push(seen);
    if (requests.length > KEPT_REQUESTS) requests.shift();
    received.run(seen, next);
  });
  app.use('/.well-known/agent-card.json', agentCardHandler({ agentCardProvider: requestHandler }));
  const handled = { requestHandler, userBuilder: async () => ({ isAuthenticated: true, userName: 'caller' }) };
  app.use(restHandler(handled));
  app.use(jsonRpcHandler(handled));
  return app;
}

const { port } = options({ port: '0' });
const server = createServer();
stopOnSignal(server);
server.listen(Number(port), '127.0.0.1', () => {
  const { port: taken } = server.address();
  server.on('request', application(`http://127.0.0.1:${taken}`));
  ready(taken);
});
