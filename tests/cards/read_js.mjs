// Reads cards with the A2A SDKs for JavaScript, as their clients do, and makes a client of each.
//
//   node read_js.mjs 1.0|0.3
//
// In: a JSON list of {"version", "card"}. Out: a JSON list of what was read, in the same order.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const sdk = createRequire(new URL('../mesh/peers/package.json', import.meta.url));
const own = process.argv[2];
const { ClientFactory, DefaultAgentCardResolver, JsonRpcTransportFactory, RestTransportFactory } = sdk(`a2a-js-${own}/client`);

async function read({ version, card }) {
  const fetchImpl = async () => new Response(JSON.stringify(card));
  const legacyCompat = { enabled: version !== own };
  const resolver = new DefaultAgentCardResolver({ fetchImpl, legacyCompat });
  const parsed = await resolver.resolve('http://unused.example');
  const transports = [JsonRpcTransportFactory, RestTransportFactory].map((Factory) => new Factory({ fetchImpl, legacyCompat }));
  await new ClientFactory({ transports, cardResolver: resolver }).createFromAgentCard(parsed);
  const lists = ({ schemes }) => Object.fromEntries(Object.entries(schemes).map(([name, { list }]) => [name, list]));
  const old = own === '0.3';
  const others = old ? (parsed.additionalInterfaces ?? []).slice(1).map(({ url, transport }) => [url, transport]) : [];
  return {
    name: parsed.name,
    skills: parsed.skills.map(({ id }) => id),
    schemes: Object.keys(parsed.securitySchemes ?? {}).sort(),
    requirements: old ? (parsed.security ?? []) : (parsed.securityRequirements ?? []).map(lists),
    interfaces: old
      ? [[parsed.url, parsed.preferredTransport], ...others]
      : parsed.supportedInterfaces.map(({ url, protocolBinding }) => [url, protocolBinding]),
  };
}

console.log(JSON.stringify(await Promise.all(JSON.parse(readFileSync(0)).map(read))));
