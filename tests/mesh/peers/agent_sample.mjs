// The echo agent of A2A 1.0 on the official JavaScript SDK, with the paths of the SDK's own samples: JSON-RPC at /a2a/jsonrpc,
// HTTP+JSON below /a2a/rest, the card at the root.
//
//   [NOTIFY_PORT=N] node agent_sample.mjs [--port N]
//
// With NOTIFY_PORT its SDK posts notifications to the URLs that callers name, by way of the Envoy there.

import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import { createServer, request as requestHttp } from 'node:http';
import express from 'express';
import { AgentCard, Task, TaskArtifactUpdateEvent, TaskStatusUpdateEvent } from 'a2a-js-1.0';
import { AgentEvent, DefaultRequestHandler, InMemoryTaskStore } from 'a2a-js-1.0/server';
import { UserBuilder, agentCardHandler, jsonRpcHandler, restHandler } from 'a2a-js-1.0/server/express';
import { options, ready, stopOnSignal } from './process.mjs';

/** The headers of the request that is being answered. */
const received = new AsyncLocalStorage();

/** Answers with one artifact that holds the request as it arrived. */
class Echo {
  async execute({ userMessage, taskId, contextId }, bus) {
    const text = userMessage.parts.map(({ content }) => (content?.$case === 'text' ? content.value : '')).join('');
    const report = (state) =>
      bus.publish(AgentEvent.statusUpdate(TaskStatusUpdateEvent.fromJSON({ taskId, contextId, status: { state } })));
    const status = { state: 'TASK_STATE_SUBMITTED' };
    bus.publish(AgentEvent.task(Task.fromJSON({ id: taskId, contextId, status, history: [] })));
    report('TASK_STATE_WORKING');
    const parts = [{ text: JSON.stringify({ agent: 'sample', text, headers: received.getStore() }) }];
    const artifact = { artifactId: randomUUID(), name: 'echo', parts };
    const told = TaskArtifactUpdateEvent.fromJSON({ taskId, contextId, artifact, lastChunk: true });
    bus.publish(AgentEvent.artifactUpdate(told));
    report('TASK_STATE_COMPLETED');
    bus.finished();
  }

  async cancelTask() {}
}

const { NOTIFY_PORT } = process.env;
if (NOTIFY_PORT) {
  // The SDK has no setting for where it posts to: it calls `fetch`.
  globalThis.fetch = (url, { method, headers, body, signal }) =>
    new Promise((resolve, reject) => {
      const { host, pathname, search } = new URL(url);
      const place = { host: '127.0.0.1', port: NOTIFY_PORT, path: pathname + search, method, signal };
      const sent = requestHttp({ ...place, headers: { ...headers, host, 'content-length': Buffer.byteLength(body) } }, (answer) => {
        answer.resume();
        resolve(new Response(null, { status: answer.statusCode, statusText: answer.statusMessage }));
      });
      sent.on('error', reject).end(body);
    });
}

const { port } = options({ port: '0' });
const server = createServer();
stopOnSignal(server);
server.listen(Number(port), '127.0.0.1', () => {
  const { port: taken } = server.address();
  const url = `http://127.0.0.1:${taken}`;
  const card = AgentCard.fromJSON({
    name: 'Sample agent',
    description: 'Says what it was told.',
    version: '1.0.0',
    supportedInterfaces: [
      { url: `${url}/a2a/jsonrpc`, protocolBinding: 'JSONRPC', protocolVersion: '1.0' },
      { url: `${url}/a2a/rest`, protocolBinding: 'HTTP+JSON', protocolVersion: '1.0' },
    ],
    capabilities: { streaming: true, pushNotifications: Boolean(NOTIFY_PORT) },
    defaultInputModes: ['text/plain'],
    defaultOutputModes: ['text/plain'],
    skills: [{ id: 'echo', name: 'Echo', description: 'Says it again.', tags: ['echo'] }],
  });
  const handled = {
    requestHandler: new DefaultRequestHandler(card, new InMemoryTaskStore(), new Echo()),
    userBuilder: UserBuilder.noAuthentication,
  };
  const app = express();
  app.use((request, _response, next) => received.run(request.headers, next));
  app.use('/.well-known/agent-card.json', agentCardHandler({ agentCardProvider: handled.requestHandler }));
  app.use('/a2a/jsonrpc', jsonRpcHandler(handled));
  app.use('/a2a/rest', restHandler(handled));
  server.on('request', app);
  ready(taken);
});
