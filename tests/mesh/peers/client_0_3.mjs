// An A2A 0.3 client on the official SDK: looks up the card below --url, runs --ops, prints one JSON line.
//
//   node client_0_3.mjs --url BASE [--token T] [--binding jsonrpc|http_json] [--ops send,stream,...]
//   node client_0_3.mjs --binding grpc --grpc-target HOST:PORT [--token T] [--ops send,stream,...]

import { randomUUID } from 'node:crypto';
import {
  ClientFactory,
  DefaultAgentCardResolver,
  JsonRpcTransportFactory,
  RestTransportFactory,
  createAuthenticatingFetchWithRetry,
} from 'a2a-js-0.3/client';
import { GrpcTransportFactory } from 'a2a-js-0.3/client/grpc';
import { run } from './calling.mjs';

const texts = (artifacts) =>
  artifacts.flatMap(({ parts }) => parts).flatMap((part) => (part.kind === 'text' ? [part.text] : []));

const part = (text, data) => (data ? { kind: 'data', data: { text } } : { kind: 'text', text });

// The parts of a status message: a text or data each, as the SDK read them.
const said = (status) =>
  (status?.message?.parts ?? []).flatMap((one) => (['text', 'data'].includes(one.kind) ? [{ [one.kind]: one[one.kind] }] : []));

const request = (text, wait, hook, { parts = 1, data = false, within = {} } = {}) => ({
  message: { kind: 'message', messageId: randomUUID(), role: 'user', parts: Array(parts).fill(part(text, data)), ...within },
  configuration: { blocking: wait, ...(hook && { pushNotificationConfig: hook }) },
});

// gRPC has no discovery: a card that says where to call and what to expect.
const grpcCard = (target) => ({
  ...{ name: '', description: '', version: '', protocolVersion: '0.3.0', skills: [] },
  ...{ url: target, preferredTransport: 'GRPC', defaultInputModes: [], defaultOutputModes: [] },
  capabilities: { streaming: true, pushNotifications: true },
  supportsAuthenticatedExtendedCard: true,
});

const same = (value) => value;

await run(async (args, fetchImpl) => {
  const resolver = new DefaultAgentCardResolver({ fetchImpl });
  const card = args.grpcTarget ? grpcCard(args.grpcTarget) : await resolver.resolve(args.base, args.cardPath);
  const { grpcCallOptions } = args;
  const transport = {
    JSONRPC: () => new JsonRpcTransportFactory({ fetchImpl }),
    'HTTP+JSON': () => new RestTransportFactory({ fetchImpl }),
    GRPC: () => new GrpcTransportFactory({ grpcCallOptions }),
  }[args.binding]();
  const factory = new ClientFactory({ transports: [transport], preferredTransports: [args.binding] });
  const client = await factory.createFromAgentCard(card);
  return {
    card: {
      name: card.name,
      description: card.description,
      skills: card.skills.map(({ id }) => id),
      interfaces: (card.additionalInterfaces ?? []).map(({ url, transport }) => ({
        url,
        binding: transport,
        version: card.protocolVersion,
      })),
      answer: card,
    },
    state: (task) => task.status.state,
    texts,
    said,
    kind: (event) => event.kind.replaceAll('-', '_'),
    read: (event) => ({
      task: event.taskId ?? event.id,
      context: event.contextId,
      ...(event.kind === 'task' && { artifacts: event.artifacts ?? [] }),
      ...(event.kind === 'artifact-update' && { artifacts: [event.artifact] }),
      ...(event.status && { state: event.status.state, said: said(event.status) }),
    }),
    json: { task: same, event: same, hook: same, card: same },
    send: (text, wait, hook, content) => client.sendMessage(request(text, wait, hook, content)),
    stream: (text, content) => client.sendMessageStream(request(text, true, undefined, content)),
    get: (id) => client.getTask({ id }),
    cancel: (id) => client.cancelTask({ id }),
    subscribe: (id) => client.resubscribeTask({ id }),
    extended: () => client.getAgentCard(),
    list: () => Promise.reject(new Error('this SDK has no list')),
    push: {
      set: (taskId, hook) => client.setTaskPushNotificationConfig({ taskId, pushNotificationConfig: hook }),
      get: (id, pushNotificationConfigId) =>
        client.getTaskPushNotificationConfig({ id, pushNotificationConfigId }),
      list: (id) => client.listTaskPushNotificationConfig({ id }),
      delete: (id, pushNotificationConfigId) =>
        client.deleteTaskPushNotificationConfig({ id, pushNotificationConfigId }),
    },
  };
}, createAuthenticatingFetchWithRetry);
