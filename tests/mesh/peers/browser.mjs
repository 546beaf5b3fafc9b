// A page in a real browser (headless Chromium) that calls an agent of another origin.
//
//   node browser.mjs --calls JSON
//
// `JSON` is a list of `{url, method, headers, body}`. The page calls them one after the other with `fetch`; the one line that is
// printed has a list of `{status, body}`, or of `{error}` where the browser does not let the page read the answer.

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import chromium from '@sparticuz/chromium';
import puppeteer from 'puppeteer-core';
import { options } from './process.mjs';

const { calls } = options({ calls: '[]' });
const server = createServer((_request, response) => {
  response.setHeader('content-type', 'text/html');
  response.end('<!doctype html><title>A page</title>');
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const profile = mkdtempSync(join(tmpdir(), 'attache-browser-'));
// Not the package's own list, which turns the same-origin policy off.
const flags = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-zygote', '--no-first-run'];
const quiet = ['--disable-background-networking', '--disable-component-update', '--disable-sync'];
const browser = await puppeteer.launch({
  executablePath: await chromium.executablePath(),
  args: [...flags, ...quiet],
  headless: 'shell',
  userDataDir: profile,
});
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
  await browser.close();
  server.close();
  rmSync(profile, { recursive: true, force: true });
}
