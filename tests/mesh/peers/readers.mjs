// How servers in Node read requests: a plain Express server (`express`) and the servers of both versions of the official SDK
// (`js-1.0`, `js-0.3`), on one port, told apart by the first label of the host. Each has an agent at two prefixes.
//
//   node readers.mjs
//
// None of them does anything. `GET /control/readings` tells of each request with an `x-reading` what the proxy said of it
// (`decided`: `operation` in its `x-attache`) and what the server would have done (`operation`, `task`, `url`).

import { AsyncLocalStorage } from 'node:async_hooks';
import { createServer } from 'node:http';
import express from 'express';
import { parseDictionary } from 'structured-headers';
import * as sdk03 from 'a2a-js-0.3/server';
import * as express03 from 'a2a-js-0.3/server/express';
import * as sdk10 from 'a2a-js-1.0/server';
import * as express10 from 'a2a-js-1.0/server/express';
import { options, ready, stopOnSignal } from './process.mjs';

const PREFIXES = ['/agents/expense', '/owned/expense'];

/** What is noted of the request that is being answered. */
const current = new AsyncLocalStorage();
const readings = {};

/** The operations of A2A 1.0 by the names that the methods of JSON-RPC and of the SDKs' handlers have. */
const OPERATIONS = {
  'message/send': 'SendMessage',
  'message/stream': 'SendStreamingMessage',
  'tasks/get': 'GetTask',
  'tasks/cancel': 'CancelTask',
  'tasks/resubscribe': 'SubscribeToTask',
  sendMessage: 'SendMessage',
  sendMessageStream: 'SendStreamingMessage',
  getTask: 'GetTask',
  listTasks: 'ListTasks',
  cancelTask: 'CancelTask',
  resubscribe: 'SubscribeToTask',
  setTaskPushNotificationConfig: 'CreateTaskPushNotificationConfig',
  createTaskPushNotificationConfig: 'CreateTaskPushNotificationConfig',
  getTaskPushNotificationConfig: 'GetTaskPushNotificationConfig',
  listTaskPushNotificationConfigs: 'ListTaskPushNotificationConfigs',
  deleteTaskPushNotificationConfig: 'DeleteTaskPushNotificationConfig',
  getAuthenticatedExtendedAgentCard: 'GetExtendedAgentCard',
};

/** The first member `name` somewhere in `value`, unless it is empty. */
function find(value, name) {
  if (value === null || typeof value !== 'object') return null;
  if (typeof value[name] === 'string' && value[name] !== '') return value[name];
  for (const below of Object.values(value)) {
    const found = find(below, name);
    if (found !== null) return found;
  }
  return null;
}

function note(operation, params, task) {
  const named = task ?? params?.id ?? find(params, 'taskId');
  Object.assign(current.getStore() ?? {}, { operation, task: named || null, url: find(params, 'url') });
}

/** A handler of the SDK that only notes what it is called for. */
function noting(handler) {
  return new Proxy(handler, {
    get(target, name) {
      const operation = OPERATIONS[name];
      if (operation === undefined) {
        const member = target[name];
        return typeof member === 'function' ? member.bind(target) : member;
      }
      const refuse = (params) => {
        note(operation, params);
        throw new Error('noted');
      };
      if (operation !== 'SendStreamingMessage' && operation !== 'SubscribeToTask') return async (params) => refuse(params);
      // eslint-disable-next-line require-yield
      return async function* (params) {
        refuse(params);
      };
    },
  });
}

function plain() {
  const app = express();
  app.use(express.json({ type: ['application/json', 'application/a2a+json'] }));
  const answer = (operation) => (request, response) => {
    note(operation, request.body, request.params.id);
    response.json({});
  };
  for (const prefix of PREFIXES) {
    app.post(prefix, (request, response) => {
      const { method, params } = request.body ?? {};
      if (typeof method === 'string') note(OPERATIONS[method] ?? method, params);
      response.json({ jsonrpc: '2.0', id: request.body?.id ?? null, result: {} });
    });
    app.post(`${prefix}/message\\:send`, answer('SendMessage'));
    app.post(`${prefix}/message\\:stream`, answer('SendStreamingMessage'));
    app.post(`${prefix}/tasks/:id\\:cancel`, answer('CancelTask'));
    app.get(`${prefix}/tasks/:id\\:subscribe`, answer('SubscribeToTask'));
    app.post(`${prefix}/tasks/:id\\:subscribe`, answer('SubscribeToTask'));
    app.get(`${prefix}/tasks/:id`, answer('GetTask'));
    app.get(`${prefix}/tasks`, answer('ListTasks'));
    app.post(`${prefix}/tasks/:id/pushNotificationConfigs`, answer('CreateTaskPushNotificationConfig'));
    app.get(`${prefix}/tasks/:id/pushNotificationConfigs`, answer('ListTaskPushNotificationConfigs'));
  }
  return app;
}

const CARD = {
  name: 'Reader',
  description: 'Tells how it reads.',
  version: '1.0.0',
  capabilities: { streaming: true, pushNotifications: true, extensions: [] },
  defaultInputModes: ['text/plain'],
  defaultOutputModes: ['text/plain'],
  skills: [],
};
const CARD_0_3 = { ...CARD, protocolVersion: '0.3.0', url: 'http://reader.example', preferredTransport: 'JSONRPC' };
const CARD_1_0 = {
  ...CARD,
  supportedInterfaces: ['JSONRPC', 'HTTP+JSON'].map((protocolBinding) => ({
    url: 'http://reader.example',
    protocolBinding,
    protocolVersion: '1.0',
    tenant: '',
  })),
  securitySchemes: {},
  securityRequirements: [],
  signatures: [],
};

function served(sdk, binding, card) {
  const idle = { execute: async () => {}, cancelTask: async () => {} };
  const requestHandler = noting(new sdk.DefaultRequestHandler(card, new sdk.InMemoryTaskStore(), idle));
  const handled = { requestHandler, userBuilder: async () => ({ isAuthenticated: true, userName: 'caller' }) };
  const app = express();
  for (const prefix of PREFIXES) {
    app.use(prefix, binding.restHandler(handled));
    app.use(prefix, binding.jsonRpcHandler(handled));
  }
  return app;
}

const readers = {
  express: plain(),
  'js-1.0': served(sdk10, express10, CARD_1_0),
  'js-0.3': served(sdk03, express03, CARD_0_3),
};

const { port } = options({ port: '0' });
const server = createServer((request, response) => {
  if (request.url === '/control/readings') {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(readings));
    return;
  }
  const reader = readers[(request.headers.host ?? '').split('.example.com')[0]];
  if (reader === undefined) {
    response.statusCode = 404;
    response.end();
    return;
  }
  const reading = { decided: parseDictionary(request.headers['x-attache'] ?? '').get('operation')?.[0] ?? null, operation: null, task: null, url: null };
  const name = request.headers['x-reading'];
  if (name !== undefined) readings[name] = reading;
  current.run(reading, () => reader(request, response));
});
stopOnSignal(server);
server.listen(Number(port), '127.0.0.1', () => ready(server.address().port));
