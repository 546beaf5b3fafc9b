// Prints what the A2A SDKs for JavaScript route over HTTP+JSON: by router, methods and paths (`{}` stands for what is free in them);
// and of the requests that come in (a list such as `GET /tasks`), those that each router takes.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const sdk = createRequire(new URL('../mesh/peers/package.json', import.meta.url));

const handled = { requestHandler: {}, userBuilder: async () => ({}) };

function plain(path) {
  return path.replaceAll(/(\\?):(\w+)/g, (_, escaped, word) => (escaped ? `:${word}` : '{}'));
}

// Routers inside of a router are its own: one for each version.
function routes(router) {
  return router.stack.flatMap((layer) => {
    if (layer.route) {
      return Object.keys(layer.route.methods).map((method) => `${method.toUpperCase()} ${plain(layer.route.path)}`);
    }
    return layer.handle.stack ? routes(layer.handle) : [];
  });
}

function takes(router, method, path) {
  return router.stack.some((layer) => {
    if (layer.route) {
      return layer.match(path) && layer.route._handlesMethod(method);
    }
    return layer.handle.stack !== undefined && takes(layer.handle, method, path);
  });
}

function taken(router) {
  return requests.filter((request) => takes(router, ...request.split(' ')));
}

function sorted(list) {
  return [...new Set(list)].sort();
}

const { restHandler: restHandler10 } = sdk('a2a-js-1.0/server/express');
const { restHandler: restHandler03 } = sdk('a2a-js-0.3/server/express');
const requests = JSON.parse(readFileSync(0, 'utf8'));
const routers = {
  'js-1.0': restHandler10(handled),
  'js-1.0 for 0.3': restHandler10({ ...handled, legacyCompat: { enabled: true } }),
  'js-0.3': restHandler03(handled),
};
const own = routes(routers['js-1.0']);
const both = routes(routers['js-1.0 for 0.3']);
console.log(
  JSON.stringify({
    taken: Object.fromEntries(Object.entries(routers).map(([name, router]) => [name, taken(router)])),
    'js-1.0': sorted(own),
    'js-1.0 for 0.3': sorted(both).filter((route) => !own.includes(route)),
    'js-0.3': sorted(routes(routers['js-0.3'])),
  }),
);
