// What the Node clients share: their options, the fetch that carries the token, the order of the operations,
// and the one line they print. Speaks no A2A: that is left to the SDK of each client.

import { options } from './process.mjs';

const OPERATIONS = ['card', 'send', 'stream', 'get', 'cancel', 'subscribe'];
const BINDINGS = { jsonrpc: 'JSONRPC', http_json: 'HTTP+JSON' };

/** Reads the options that all four clients have. */
export function clientOptions() {
  const args = options({ url: '', token: '', header: [], binding: 'jsonrpc', ops: 'send', text: 'hello' });
  const ops = args.ops.split(',');
  const unknown = ops.filter((op) => !OPERATIONS.includes(op));
  if (!args.url || unknown.length || !(args.binding in BINDINGS)) {
    console.error(`--url is needed; --ops are of ${OPERATIONS}; --binding is one of ${Object.keys(BINDINGS)}`);
    process.exit(2);
  }
  return {
    // Both SDKs resolve the card's path as a relative reference, which drops a last segment without a slash.
    base: args.url.endsWith('/') ? args.url : `${args.url}/`,
    headers: {
      ...Object.fromEntries(args.header.map((header) => header.split(/:\s*(.*)/s).slice(0, 2))),
      ...(args.token && { authorization: `Bearer ${args.token}` }),
    },
    binding: BINDINGS[args.binding],
    ops,
    text: args.text,
  };
}

/** One result: the state of the task and the agent's answer, which is JSON. */
function answer(state, texts, more) {
  return { state, echo: texts.length ? JSON.parse(texts.join('')) : null, ...more };
}

/**
 * Runs the operations and prints the one line.
 *
 * `connect(options, fetchImpl)` of each client looks up the card and gives an object with:
 * `card`; `state(task)`; `texts(artifacts)`; `kind(event)` and `read(event)` of a stream event, the latter giving
 * those of `{state, task, artifacts}` that the event tells; and `send(text, wait)`, `stream(text)`, `get(id)`, `cancel(id)`,
 * `subscribe(id)` of the SDK.
 */
export async function run(connect, createAuthenticatingFetchWithRetry) {
  const args = clientOptions();
  const results = {};
  const refusal = { status: null, body: null };

  // The SDKs do not all keep the status and body of an answer that was no success.
  const noting = async (...request) => {
    const response = await fetch(...request);
    if (!response.ok) {
      refusal.status = response.status;
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

  let line;
  try {
    await converse(await connect(args, fetchImpl), args, results);
    line = { ok: true, results };
  } catch (error) {
    const cause = error.cause ? ` (${error.cause.message})` : '';
    line = { ok: false, error: `${error.name}: ${error.message}${cause}`, ...refusal, results };
  }
  process.stdout.write(`${JSON.stringify(line)}\n`, () => process.exit(line.ok ? 0 : 1));
}

async function converse(agent, args, results) {
  const told = (task) => answer(agent.state(task), agent.texts(task.artifacts ?? []), { task: task.id });
  const collect = async (events, onEvent = async () => {}) => {
    const kinds = [];
    const artifacts = new Map();
    let seen = { state: null, task: null };
    for await (const event of events) {
      kinds.push(agent.kind(event));
      const { artifacts: told = [], ...rest } = agent.read(event);
      for (const artifact of told) artifacts.set(artifact.artifactId, artifact);
      seen = { ...seen, ...rest };
      await onEvent(kinds.length);
    }
    return answer(seen.state, agent.texts([...artifacts.values()]), { task: seen.task, events: kinds });
  };

  let known;
  for (const op of args.ops) {
    if (op === 'card') results.card = agent.card;
    if (op === 'send') {
      known = await agent.send(args.text, true);
      results.send = told(known);
    }
    if (op === 'stream') results.stream = await collect(agent.stream(args.text));
    if (op === 'get') {
      known ??= await agent.send(args.text, true);
      results.get = told(await agent.get(known.id));
    }
    if (op === 'cancel') {
      const waiting = await agent.send('wait', false);
      results.cancel = told(await agent.cancel(waiting.id));
    }
    if (op === 'subscribe') {
      const waiting = await agent.send('wait', false);
      results.subscribe = await collect(agent.subscribe(waiting.id), async (count) => {
        if (count === 1) await agent.cancel(waiting.id);
      });
    }
  }
}
