// Somebody at the page of `make run`, in headless Chromium.
//
//   node page.mjs --url URL [--screenshot FILE] [--narrow FILE]
//
// Plays the tour by the page's button, sends calls by its form, plays one of the tour again, and lets a page of another origin try to
// send one. `screenshot` is a picture of it at 1280 pixels, `narrow` one at 390. Prints one line of JSON: `{ok, rows, wrong, sent: [{token, verdict, why, steps, got, record}], link, again, foreign, faults,
// unlabelled, overflows}`. `faults` are errors on the console, of the script, and of the content security policy.

import { createServer } from 'node:http';
import { launch } from './chromium.mjs';
import { options } from './process.mjs';

const { url, screenshot, narrow: narrowShot } = options({ url: '', screenshot: '', narrow: '' });
/** A tour takes a while where the machine is busy. */
const PATIENCE = 180_000;

const { browser, end } = await launch({ protocolTimeout: PATIENCE });
const faults = [];

async function open(width, height) {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on('console', (message) => ['error', 'warn'].includes(message.type()) && faults.push(`console: ${message.text()}`));
  page.on('pageerror', (error) => faults.push(`script: ${error.message}`));
  page.on('requestfailed', (request) => faults.push(`request: ${request.url()} ${request.failure()?.errorText}`));
  page.on('response', (response) => response.status() >= 400 && faults.push(`answer: ${response.url()} ${response.status()}`));
  await page.evaluateOnNewDocument(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  await page.emulateMediaFeatures([{ name: 'prefers-reduced-motion', value: 'reduce' }]);
  await page.setViewport({ width, height });
  await page.goto(url);
  return page;
}

/** Whether something sticks out at the side. */
const overflows = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

/** Fills in the form and sends it; what the page then shows. */
async function send(page, fields) {
  const before = await page.$eval('#sent', (sent) => sent.dataset.call ?? '');
  for (const [name, value] of Object.entries(fields)) {
    if (name === 'pasted') await page.type('#pasted', value);
    else await page.select(`#${name}`, value);
  }
  await page.click('#send button[type=submit]');
  await page.waitForFunction((old) => (document.getElementById('sent').dataset.call ?? '') !== old, {}, before);
  const told = await page.evaluate(() => {
    const text = (selector) => document.querySelector(selector)?.textContent ?? '';
    return {
      verdict: text('#looked .verdict'),
      why: text('#why'),
      steps: [...document.querySelectorAll('#looked .steps li')].map((step) => step.textContent),
      got: text('#looked dl'),
      record: [...document.querySelectorAll('#looked pre')].at(-1)?.textContent ?? '',
      lit: [...document.querySelectorAll('.wide .node.on, .wide .node.off')].map((node) => `${node.dataset.node}${node.classList.contains('off') ? ' refuses' : ''}`),
      whole: document.getElementById('looked').textContent,
    };
  });
  const request = JSON.parse(told.record).request_id;
  await page.waitForSelector(`#records li[data-request="${request}"]`);
  return { token: fields.token, ...told };
}

/** What becomes of calls that a page of another origin sends. */
async function foreign() {
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html');
    response.end('<!doctype html><title>Another website</title>');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const results = await page.evaluate(async (target) => {
    const body = JSON.stringify({ step: 0 });
    const attempt = async (path, init) => {
      try {
        const response = await fetch(target + path, init);
        return `${response.type} ${response.status}`;
      } catch {
        return 'refused';
      }
    };
    return [
      await attempt('again', { method: 'POST', headers: { 'content-type': 'application/json', 'x-attache-page': 'guess' }, body }),
      await attempt('again', { method: 'POST', mode: 'no-cors', headers: { 'content-type': 'text/plain' }, body }),
      await attempt('', {}),
      await attempt('events', { mode: 'no-cors' }),
    ];
  }, url);
  await page.close();
  server.close();
  server.closeAllConnections();
  return results;
}

try {
  const page = await open(1280, 900);
  await page.waitForSelector('#tour:not([disabled])');
  await page.click('#tour');
  await page.waitForSelector('#state[data-phase="touring"]');
  await page.waitForSelector('#state[data-phase="standing"]');
  const [rows, wrong] = await page.evaluate(() => [
    document.querySelectorAll('#calls tr[data-step]').length,
    [...document.querySelectorAll('#calls tr[data-step]')].filter((row) => row.querySelector('.bad')).map((row) => row.textContent),
  ]);
  const sent = [
    await send(page, { to: 'expense', operation: 'SendMessage', token: 'good' }),
    await send(page, { to: 'expense', operation: 'SendMessage', token: 'expired' }),
    await send(page, { to: 'expense_tls', operation: 'SendMessage', binding: 'http_json', token: 'api_key' }),
    await send(page, { to: 'partner', binding: 'jsonrpc', token: 'own' }),
    await send(page, { to: 'expense', token: 'pasted', pasted: 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.cGFzdGVkLXNlY3JldC1vZi1zb21lYm9keQ' }),
  ];
  // Who has not agreed gets a link, and the page has it, too.
  sent.push(await send(page, { to: 'user_out', operation: 'SendMessage', binding: 'jsonrpc', token: 'ann' }));
  const link = await page.$eval('#why a', (anchor) => anchor.href);
  const old = await page.$eval('#calls tr[data-step="6"]', (row) => row.dataset.call);
  await page.click('#calls tr[data-step="6"] button.quiet');
  await page.waitForFunction((id) => document.querySelector('#calls tr[data-step="6"]').dataset.call !== id, {}, old);
  const again = await page.$eval('#calls tr[data-step="6"]', (row) => row.textContent);
  const unlabelled = await page.$$eval('button, select, input, textarea', (controls) =>
    controls.filter((control) => !(control.labels?.length || control.getAttribute('aria-label') || control.textContent.trim())).map((control) => control.outerHTML));
  if (screenshot) {
    await send(page, { to: 'expense', operation: 'SendMessage', token: 'expired' });
    await page.evaluate(() => { document.activeElement?.blur(); scrollTo(0, 0); });
    // To the end of the steps by which the call was decided.
    const end = await page.$eval('#looked .steps', (steps) => steps.getBoundingClientRect().bottom);
    await page.setViewport({ width: 1280, height: Math.ceil(end) + 10 });
    await page.screenshot({ path: screenshot });
  }
  const narrow = await open(390, 844);
  await narrow.waitForSelector('#calls tr[data-step="41"]');
  if (narrowShot) await narrow.screenshot({ path: narrowShot });
  const wide = [await overflows(page), await overflows(narrow)];
  const violations = [page, narrow].map((one) => one.evaluate(() => window.violations));
  faults.push(...(await Promise.all(violations)).flat().map((what) => `policy: ${what}`));
  const tried = await foreign();
  console.log(JSON.stringify({ ok: true, rows, wrong, sent, link, again, foreign: tried, faults, unlabelled, overflows: wide }));
} finally {
  await end();
}
