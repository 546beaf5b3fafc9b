// An A2A 1.0 client on the official SDK: looks up the card below --url, runs --ops, prints one JSON line.
//
//   node client_1_0.mjs --url BASE [--token T] [--binding jsonrpc|http_json] [--ops send,stream,...]

import { randomUUID } from 'node:crypto';
import { SendMessageRequest, taskStateToJSON } from 'a2a-js-1.0';
import {
  ClientFactory,
  DefaultAgentCardResolver,
  JsonRpcTransportFactory,
  RestTransportFactory,
  createAuthenticatingFetchWithRetry,
} from 'a2a-js-1.0/client';
import { run } from './calling.mjs';

const texts = (artifacts) =>
  artifacts
    .flatMap(({ parts }) => parts)
    .flatMap(({ content }) => (content?.$case === 'text' ? [content.value] : []));

// TASK_STATE_INPUT_REQUIRED as 0.3 spells it, so that all clients report the same words.
const stateOf = (status) =>
  taskStateToJSON(status.state).replace('TASK_STATE_', '').toLowerCase().replaceAll('_', '-');

const request = (text, wait) =>
  SendMessageRequest.fromJSON({
    message: { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }] },
    configuration: { returnImmediately: !wait },
  });

await run(async (args, fetchImpl) => {
  const card = await new DefaultAgentCardResolver({ fetchImpl }).resolve(args.base);
  const Transport = { JSONRPC: JsonRpcTransportFactory, 'HTTP+JSON': RestTransportFactory }[args.binding];
  const factory = new ClientFactory({
    transports: [new Transport({ fetchImpl })],
    preferredTransports: [args.binding],
  });
  const client = await factory.createFromAgentCard(card);
  return {
    card: {
      name: card.name,
      description: card.description,
      skills: card.skills.map(({ id }) => id),
      interfaces: card.supportedInterfaces.map(({ url, protocolBinding, protocolVersion }) => ({
        url,
        binding: protocolBinding,
        version: protocolVersion,
      })),
    },
    state: (task) => stateOf(task.status),
    texts,
    kind: ({ payload }) => payload.$case.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    read: ({ payload: { $case, value } }) => ({
      task: value.taskId ?? value.id,
      ...($case === 'task' && { artifacts: value.artifacts }),
      ...($case === 'artifactUpdate' && { artifacts: [value.artifact] }),
      ...(value.status && { state: stateOf(value.status) }),
    }),
    send: (text, wait) => client.sendMessage(request(text, wait)),
    stream: (text) => client.sendMessageStream(request(text, true)),
    get: (id) => client.getTask({ tenant: '', id }),
    cancel: (id) => client.cancelTask({ tenant: '', id, metadata: undefined }),
    subscribe: (id) => client.resubscribeTask({ tenant: '', id }),
  };
}, createAuthenticatingFetchWithRetry);
