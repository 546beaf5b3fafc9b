// What the Node peers share as processes: their options, the READY line, the end.

import { parseArgs } from 'node:util';

/** Reads `--name value` options; `defaults` names every one that exists. A list as default means: may be repeated. */
export function options(defaults) {
  const known = Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => [
      name,
      { type: 'string', multiple: Array.isArray(value), default: value },
    ]),
  );
  return parseArgs({ options: known, strict: true }).values;
}

/** Says on stdout that the peer listens, and on which other ports it does. */
export function ready(port, more = {}) {
  process.stdout.write(`READY ${JSON.stringify({ port, ...more })}\n`);
}

/** Ends the process on SIGTERM and SIGINT without waiting for idle connections. */
export function stopOnSignal(server) {
  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.once(signal, () => {
      server.close(() => process.exit(0));
      server.closeAllConnections();
    });
  }
}
