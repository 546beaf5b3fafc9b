// A page in a real browser (headless Chromium) that calls an agent of another origin.
//
//   node browser.mjs --calls JSON
//
// `JSON` is a list of `{url, method, headers, body}`. The page calls them one after the other with `fetch`; the one line that is
// printed has a list of `{status, body}`, or of `{error}` where the browser does not let the page read the answer.

import { createServer } from 'node:http';
import { launch } from './chromium.mjs';
import { options } from './process.mjs';

const { calls } = options({ calls: '[]' });
const server = createServer((_request, response) => {
  response.setHeader('content-type', 'text/html');
  response.end('<!doctype html><title>A page</title>');
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const { browser, end } = await launch();
try {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const results = await page.evaluate(async (list) => {
    const told = [];
    for (const { url, ...init } of list) {
      try {
        const response = await fetch(url, init);
        told.push({ status: response.status, body: await response.text() });
      } catch (error) {
        told.push({ error: String(error) });
      }
    }
    return told;
  }, JSON.parse(calls));
  console.log(JSON.stringify({ ok: true, results }));
} finally {
  await end();
  server.close();
}
