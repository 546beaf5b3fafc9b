// Prints cards as the A2A SDKs for JavaScript serve them: one JSON object, by name of the card.

import { createRequire } from 'node:module';

const sdk = createRequire(new URL('../mesh/peers/package.json', import.meta.url));
const { AgentCard } = sdk('a2a-js-1.0');

const INNER = 'http://agent.inner.example:41241';

// Cards of 0.3 are plain objects that its SDK serves as they are; this one lists everything that its types allow.
const old = {
  name: 'Movie agent',
  description: 'Answers questions about movies.',
  url: `${INNER}/a2a/jsonrpc`,
  preferredTransport: 'JSONRPC',
  additionalInterfaces: [
    { url: `${INNER}/a2a/jsonrpc`, transport: 'JSONRPC' },
    { url: `${INNER}/a2a/rest`, transport: 'HTTP+JSON' },
  ],
  provider: { organization: 'A2A samples', url: 'https://example.com/a2a-samples' },
  version: '0.0.2',
  protocolVersion: '0.3.0',
  capabilities: { streaming: true, pushNotifications: false, stateTransitionHistory: true },
  securitySchemes: undefined,
  security: undefined,
  defaultInputModes: ['text'],
  defaultOutputModes: ['text', 'task-status'],
  skills: [
    {
      id: 'general_movie_chat',
      name: 'Movie chat',
      description: 'Talks about movies.',
      tags: ['movies', 'actors'],
      examples: ['Tell me about the plot of Inception.'],
      inputModes: ['text'],
      outputModes: ['text', 'task-status'],
    },
  ],
  supportsAuthenticatedExtendedCard: false,
};

const requirement = (name, ...list) => ({ schemes: { [name]: { list } } });

const current = AgentCard.toJSON(
  AgentCard.fromJSON({
    ...old,
    supportedInterfaces: [
      { url: `${INNER}/a2a/jsonrpc`, protocolBinding: 'JSONRPC', protocolVersion: '1.0', tenant: '' },
      { url: `${INNER}/a2a/rest`, protocolBinding: 'HTTP+JSON', protocolVersion: '1.0', tenant: '' },
    ],
    capabilities: { streaming: true, pushNotifications: false, extendedAgentCard: true },
    securitySchemes: {
      bearer: { httpAuthSecurityScheme: { scheme: 'Bearer', bearerFormat: 'JWT' } },
      key: { apiKeySecurityScheme: { location: 'header', name: 'X-API-Key' } },
    },
    securityRequirements: [requirement('bearer'), requirement('key')],
    skills: [{ ...old.skills[0], securityRequirements: [requirement('bearer', 'movies:read')] }],
    signatures: [{ protected: 'eyJhbGciOiJFUzI1NiJ9', signature: 'c2ln', header: { kid: 'k' } }],
  }),
);

console.log(JSON.stringify({ 'javascript-0.3': old, 'javascript-1.0': current }));
