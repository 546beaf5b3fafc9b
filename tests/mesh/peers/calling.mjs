// What the Node clients share: their options, the fetch that carries the token, the order of the operations,
// and the one line they print. Speaks no A2A: that is left to the SDK of each client.

import { setTimeout as pause } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import { options } from './process.mjs';

const OPERATIONS = ['card', 'send', 'stream', 'get', 'cancel', 'subscribe', 'extended', 'list', 'list_all'].concat(
  ['push_send', 'push_set', 'push_get', 'push_list', 'push_delete', 'continue', 'continue_stream'],
);
const BINDINGS = { jsonrpc: 'JSONRPC', http_json: 'HTTP+JSON', grpc: 'GRPC' };
const POLL_MS = 20;

/** The push configuration of all four clients; it gets the id `inline` or `set`. */
export const HOOK = JSON.parse(process.env.HOOK ?? '{"url": "https://hooks.example.com/x", "token": "for-the-hook"}');

/** Reads the options that all four clients have. */
export function clientOptions() {
  const args = options({
    ...{ url: '', 'grpc-target': '', token: '', header: [], binding: 'jsonrpc', ops: 'send', task: '', context: '', text: 'hello', 'card-path': '', tries: '' },
  });
  const ops = args.ops.split(',');
  const unknown = ops.filter((op) => !OPERATIONS.includes(op));
  const place = args.binding === 'grpc' ? 'grpc-target' : 'url';
  if (!args[place] || unknown.length || !(args.binding in BINDINGS)) {
    console.error(`--${place} is needed; --ops are of ${OPERATIONS}; --binding is one of ${Object.keys(BINDINGS)}`);
    process.exit(2);
  }
  return {
    // Both SDKs resolve the card's path as a relative reference, which drops a last segment without a slash.
    base: args.url.endsWith('/') ? args.url : `${args.url}/`,
    grpcTarget: args['grpc-target'],
    headers: {
      ...Object.fromEntries(args.header.map((header) => header.split(/:\s*(.*)/s).slice(0, 2))),
      ...(args.token && { authorization: `Bearer ${args.token}` }),
    },
    binding: BINDINGS[args.binding],
    ops,
    task: args.task,
    context: args.context,
    text: args.text,
    // What is done one by one, each by a client of its own.
    tries: args.tries && JSON.parse(args.tries),
    bend: {},
    parts: 1,
    data: false,
    // Where the card is below --url, in place of the well-known path.
    cardPath: args['card-path'] || undefined,
  };
}

/** One result: the state of the task and the agent's last answer, which is JSON: a task that went on has several. */
function answer(state, texts, more) {
  return { state, echo: texts.length ? JSON.parse(texts.at(-1)) : null, ...more };
}

/** A request otherwise than the SDK wrote it, unless it is for a card: `bend` says how. */
function bent(bend, url, init = {}) {
  if (!Object.keys(bend).length || String(url).includes('.well-known')) return [url, init];
  const headers = new Headers(init.headers);
  for (const [name, value] of Object.entries(bend.headers ?? {})) {
    headers.delete(name);
    if (value !== null) headers.set(name, value);
  }
  let { body } = init;
  if (bend.members) {
    const document = JSON.parse(body);
    for (const [path, value] of bend.members) {
      const last = path.at(-1);
      path.slice(0, -1).reduce((place, name) => place[name], document)[last] = value;
    }
    body = JSON.stringify(document);
  }
  // What is no text would get a content type where there is none.
  if (body !== undefined) body = new TextEncoder().encode(body + (bend.append ?? ''));
  return [String(url).replace(...(bend.path ?? ['', ''])) + (bend.query ?? ''), { ...init, headers, body }];
}

/** Call options for gRPC: each call carries the headers as metadata, and `refusal` gets the status of one that failed. */
function grpcCalls(headers, refusal, bend) {
  const interceptor = (call, next) =>
    new grpc.InterceptingCall(next(call), {
      start(metadata, _listener, proceed) {
        for (const [name, value] of Object.entries(headers)) metadata.add(name, value);
        for (const [name, values] of Object.entries(bend.headers ?? {})) {
          metadata.remove(name);
          for (const value of [values ?? []].flat()) metadata.add(name, value);
        }
        proceed(metadata, {
          onReceiveStatus(status, tell) {
            if (status.code !== grpc.status.OK) {
              refusal.status = status.code;
              refusal.body = status.details;
            }
            tell(status);
          },
        });
      },
    });
  return { interceptors: [interceptor] };
}

/**
 * Runs the operations and prints the one line.
 *
 * `connect(options, fetchImpl)` of each client looks up the card (for gRPC it makes one) and gives an object with:
 * `card`; `state(task)`; `texts(artifacts)`; `kind(event)` and `read(event)` of a stream event, the latter giving
 * those of `{state, task, context, said, artifacts}` that the event tells; `said(status)` gives the parts of its message; `json` with `task`, `event`, `hook` and `card`, which write what the
 * SDK read; and of the SDK `send(text, wait, hook, content)` (`content.within` are the ids of a task and context), `stream(text, content)`, `get(id)`, `cancel(id)`, `subscribe(id)`,
 * `extended()`, `list(contextId)`, `push` with `set(id, hook)`, `get(id, hookId)`, `list(id)` and `delete(id, hookId)`.
 */
export async function run(connect, createAuthenticatingFetchWithRetry) {
  const args = clientOptions();
  const one = (more) => talk(connect, createAuthenticatingFetchWithRetry, { ...args, ...more });
  let line;
  if (args.tries) {
    line = { ok: true, tries: [] };
    for (const { op, ...more } of args.tries) line.tries.push(await one({ ...more, ops: [op] }));
  } else {
    line = await one({});
  }
  process.stdout.write(`${JSON.stringify(line)}\n`, () => process.exit(line.ok ? 0 : 1));
}

async function talk(connect, createAuthenticatingFetchWithRetry, args) {
  const results = {};
  const refusal = { status: null, body: null };

  // The SDKs do not all keep the status and body of an answer that was no success.
  const noting = async (...request) => {
    const response = await fetch(...bent(args.bend, ...request));
    if (!response.ok) {
      refusal.status = response.status;
      const challenge = response.headers.get('www-authenticate');
      if (challenge !== null) refusal.challenge = challenge;
      const text = await response.clone().text();
      try {
        refusal.body = JSON.parse(text);
      } catch {
        refusal.body = text;
      }
    }
    return response;
  };
  const fetchImpl = createAuthenticatingFetchWithRetry(noting, {
    headers: async () => args.headers,
    shouldRetryWithHeaders: async () => undefined,
  });

  try {
    args.grpcCallOptions = grpcCalls(args.headers, refusal, args.bend);
    await converse(await connect(args, fetchImpl), args, results);
    return { ok: true, results };
  } catch (error) {
    const cause = error.cause ? ` (${error.cause.message})` : '';
    // Where the SDK has no error of its own, its message may still say the code.
    const code = error.code ?? error.cause?.code ?? (error.message.match(/(?:Code|Status): (-?\d+)/)?.[1] ?? null);
    return { ok: false, error: `${error.name}: ${error.message}${cause}`, type: error.name, code: code === null ? null : Number(code), ...refusal, results };
  }
}

async function converse(agent, args, results) {
  const told = (task) =>
    answer(agent.state(task), agent.texts(task.artifacts ?? []), {
      ...{ task: task.id, context: task.contextId, said: agent.said(task.status), answer: agent.json.task(task) },
    });
  const collect = async (events, onEvent = async () => {}) => {
    const kinds = [];
    const allTold = [];
    const artifacts = new Map();
    let seen = { state: null, task: null, context: null, said: [] };
    for await (const event of events) {
      kinds.push(agent.kind(event));
      allTold.push(agent.json.event(event));
      const { artifacts: told = [], ...rest } = agent.read(event);
      for (const artifact of told) artifacts.set(artifact.artifactId, artifact);
      seen = { ...seen, ...rest };
      await onEvent(kinds);
    }
    const texts = agent.texts([...artifacts.values()]);
    const { state, ...rest } = seen;
    return answer(state, texts, { ...rest, events: kinds, answer: allTold });
  };
  // A task that works until it is cancelled, and has said what it has to say.
  const started = async () => {
    const { id } = await agent.send('wait', false);
    while (!(await agent.get(id)).artifacts?.length) await pause(POLL_MS);
    return id;
  };
  // The task that push configurations are of.
  const about = async () => args.task || (known ??= await agent.send(args.text, true)).id;
  const listed = async () => ({ answer: (await agent.push.list(await about())).map(agent.json.hook) });

  const content = { parts: args.parts, data: args.data };
  // Where a message goes on: the task and context that are named, or those of the last send.
  const within = async () => {
    if (args.task || args.context) return { ...(args.task && { taskId: args.task }), ...(args.context && { contextId: args.context }) };
    known ??= await agent.send(args.text, true);
    return { taskId: known.id, contextId: known.contextId };
  };
  let known;
  let hook = { id: 'set', ...HOOK };
  const operations = {
    card: async () => agent.card,
    send: async () => told((known = await agent.send(args.text, true, undefined, content))),
    stream: async () => collect(agent.stream(args.text, content)),
    continue: async () => told(await agent.send(args.text, true, undefined, { within: await within() })),
    continue_stream: async () => collect(agent.stream(args.text, { within: await within() })),
    get: async () => {
      if (!args.task) known ??= await agent.send(args.text, true);
      return told(await agent.get(args.task || known.id));
    },
    cancel: async () => told(await agent.cancel(args.task || (await started()))),
    subscribe: async () => {
      const id = args.task || (await started());
      return collect(agent.subscribe(id), async (kinds) => {
        const reports = kinds.filter((kind) => kind === 'status_update');
        if (kinds.at(-1) === 'status_update' && reports.length === 1) await agent.cancel(id);
      });
    },
    extended: async () => ({ answer: agent.json.card(await agent.extended()) }),
    list: async () => {
      if (!args.context) known ??= await agent.send(args.text, true);
      return { answer: await agent.list(args.context || known.contextId) };
    },
    list_all: async () => ({ answer: await agent.list('') }),
    push_send: async () => {
      hook = { id: 'inline', ...HOOK };
      return told((known = await agent.send(args.text, true, hook)));
    },
    push_set: async () => {
      hook = { id: 'set', ...HOOK };
      return { answer: agent.json.hook(await agent.push.set(await about(), hook)) };
    },
    push_get: async () => ({ answer: agent.json.hook(await agent.push.get(await about(), hook.id)) }),
    push_list: listed,
    // What a deletion leaves is its answer.
    push_delete: async () => {
      await agent.push.delete(await about(), hook.id);
      return listed();
    },
  };
  for (const op of args.ops) results[op] = await operations[op]();
}
