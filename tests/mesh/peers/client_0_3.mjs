// An A2A 0.3 client on the official SDK: looks up the card below --url, runs --ops, prints one JSON line.
//
//   node client_0_3.mjs --url BASE [--token T] [--binding jsonrpc|http_json] [--ops send,stream,...]

import { randomUUID } from 'node:crypto';
import {
  ClientFactory,
  DefaultAgentCardResolver,
  JsonRpcTransportFactory,
  RestTransportFactory,
  createAuthenticatingFetchWithRetry,
} from 'a2a-js-0.3/client';
import { run } from './calling.mjs';

const texts = (artifacts) =>
  artifacts.flatMap(({ parts }) => parts).flatMap((part) => (part.kind === 'text' ? [part.text] : []));

const request = (text, wait) => ({
  message: { kind: 'message', messageId: randomUUID(), role: 'user', parts: [{ kind: 'text', text }] },
  configuration: { blocking: wait },
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
      interfaces: (card.additionalInterfaces ?? []).map(({ url, transport }) => ({
        url,
        binding: transport,
        version: card.protocolVersion,
      })),
    },
    state: (task) => task.status.state,
    texts,
    kind: (event) => event.kind.replaceAll('-', '_'),
    read: (event) => ({
      task: event.taskId ?? event.id,
      ...(event.kind === 'task' && { artifacts: event.artifacts ?? [] }),
      ...(event.kind === 'artifact-update' && { artifacts: [event.artifact] }),
      ...(event.status && { state: event.status.state }),
    }),
    send: (text, wait) => client.sendMessage(request(text, wait)),
    stream: (text) => client.sendMessageStream(request(text, true)),
    get: (id) => client.getTask({ id }),
    cancel: (id) => client.cancelTask({ id }),
    subscribe: (id) => client.resubscribeTask({ id }),
  };
}, createAuthenticatingFetchWithRetry);
