// agent_0_3.mjs: an A2A 0.3 agent on the official SDK, as many are in use. It answers each message with its text and who called.
//
//   node agent_0_3.mjs --port 9003 [--path /expense]

import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import express from 'express';
import { DefaultRequestHandler, InMemoryTaskStore } from '@a2a-js/sdk/server';
import { jsonRpcHandler, restHandler } from '@a2a-js/sdk/server/express';

const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    path: { type: 'string', default: '' },
  },
});
const url = `http://127.0.0.1:${values.port}${values.path}`;
const card = {
  name: 'Expense',
  description: 'Says again what it hears.',
  version: '1.0.0',
  protocolVersion: '0.3.0',
  url: `${url}/`,
  preferredTransport: 'JSONRPC',
  additionalInterfaces: [{ url: `${url}/`, transport: 'JSONRPC' }, { url, transport: 'HTTP+JSON' }],
  capabilities: { streaming: false },
  defaultInputModes: ['text/plain'],
  defaultOutputModes: ['text/plain'],
  skills: [{ id: 'echo', name: 'Echo', description: 'Says it again.', tags: ['echo'] }],
};

let caller;
class Echo {
  async execute({ userMessage, contextId }, bus) {
    const said = userMessage.parts.map((part) => part.text ?? '').join('');
    const text = `Expense (0.3) heard: ${said}. x-attache: ${caller}`;
    bus.publish({ kind: 'message', messageId: randomUUID(), role: 'agent', contextId, parts: [{ kind: 'text', text }] });
    bus.finished();
  }

  async cancelTask() {}
}

const requestHandler = new DefaultRequestHandler(card, new InMemoryTaskStore(), new Echo());
const handled = { requestHandler, userBuilder: async () => ({ isAuthenticated: true, userName: 'caller' }) };
const app = express();
app.use((request, _response, next) => {
  caller = request.headers['x-attache'] ?? 'none';
  next();
});
app.get(`${values.path}/.well-known/agent-card.json`, (_request, response) => response.json(card));
app.use(values.path || '/', restHandler(handled));
app.use(values.path || '/', jsonRpcHandler(handled));
app.listen(Number(values.port), '127.0.0.1');
