// An A2A 1.0 client on the official SDK: looks up the card below --url, runs --ops, prints one JSON line.
//
//   node client_1_0.mjs --url BASE [--token T] [--binding jsonrpc|http_json] [--ops send,stream,...]
//   node client_1_0.mjs --binding grpc --grpc-target HOST:PORT [--token T] [--ops send,stream,...]

import { randomUUID } from 'node:crypto';
import {
  AgentCard,
  ListTasksRequest,
  ListTasksResponse,
  SendMessageRequest,
  StreamResponse,
  Task,
  TaskPushNotificationConfig,
  taskStateToJSON,
} from 'a2a-js-1.0';
import {
  ClientFactory,
  DefaultAgentCardResolver,
  JsonRpcTransportFactory,
  RestTransportFactory,
  createAuthenticatingFetchWithRetry,
} from 'a2a-js-1.0/client';
import { GrpcTransportFactory } from 'a2a-js-1.0/client/grpc';
import { run } from './calling.mjs';

const texts = (artifacts) =>
  artifacts
    .flatMap(({ parts }) => parts)
    .flatMap(({ content }) => (content?.$case === 'text' ? [content.value] : []));

// TASK_STATE_INPUT_REQUIRED as 0.3 spells it, so that all clients report the same words.
const stateOf = (status) =>
  taskStateToJSON(status.state).replace('TASK_STATE_', '').toLowerCase().replaceAll('_', '-');

// The parts of a status message: a text or data each, as the SDK read them.
const said = (status) =>
  (status?.message?.parts ?? []).flatMap(({ content }) => (['text', 'data'].includes(content?.$case) ? [{ [content.$case]: content.value }] : []));

const request = (text, wait, hook, { parts = 1, data = false, within = {} } = {}) =>
  SendMessageRequest.fromJSON({
    message: { messageId: randomUUID(), role: 'ROLE_USER', parts: Array(parts).fill(data ? { data: { text } } : { text }), ...within },
    configuration: { returnImmediately: !wait, ...(hook && { taskPushNotificationConfig: hook }) },
  });

// gRPC has no discovery: a card that says where to call and what to expect.
const grpcCard = (target) =>
  AgentCard.fromJSON({
    supportedInterfaces: [{ url: target, protocolBinding: 'GRPC', protocolVersion: '1.0' }],
    capabilities: { streaming: true, pushNotifications: true, extendedAgentCard: true },
  });

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
      interfaces: card.supportedInterfaces.map(({ url, protocolBinding, protocolVersion }) => ({
        url,
        binding: protocolBinding,
        version: protocolVersion,
      })),
      answer: AgentCard.toJSON(card),
    },
    state: (task) => stateOf(task.status),
    texts,
    said,
    kind: ({ payload }) => payload.$case.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    read: ({ payload: { $case, value } }) => ({
      task: value.taskId ?? value.id,
      context: value.contextId,
      ...($case === 'task' && { artifacts: value.artifacts }),
      ...($case === 'artifactUpdate' && { artifacts: [value.artifact] }),
      ...(value.status && { state: stateOf(value.status), said: said(value.status) }),
    }),
    json: {
      task: Task.toJSON,
      event: StreamResponse.toJSON,
      hook: TaskPushNotificationConfig.toJSON,
      card: AgentCard.toJSON,
    },
    send: (text, wait, hook, content) => client.sendMessage(request(text, wait, hook, content)),
    stream: (text, content) => client.sendMessageStream(request(text, true, undefined, content)),
    get: (id) => client.getTask({ tenant: '', id }),
    cancel: (id) => client.cancelTask({ tenant: '', id, metadata: undefined }),
    subscribe: (id) => client.resubscribeTask({ tenant: '', id }),
    extended: () => client.getAgentCard(),
    list: async (contextId) => ListTasksResponse.toJSON(await client.listTasks(ListTasksRequest.fromJSON({ contextId }))),
    push: {
      set: (taskId, hook) =>
        client.createTaskPushNotificationConfig(TaskPushNotificationConfig.fromJSON({ taskId, ...hook })),
      get: (taskId, id) => client.getTaskPushNotificationConfig({ tenant: '', taskId, id }),
      list: async (taskId) => {
        const page = { tenant: '', taskId, pageSize: 0, pageToken: '' };
        return (await client.listTaskPushNotificationConfig(page)).configs;
      },
      delete: (taskId, id) => client.deleteTaskPushNotificationConfig({ tenant: '', taskId, id }),
    },
  };
}, createAuthenticatingFetchWithRetry);
