// Somebody who looks at the pages of consent in headless Chromium, and goes the way that they lead.
//
//   node look_at_pages.mjs --pages FOLDER --part look|way [--screenshots FOLDER]
//
// `pages` has NAME.html and `heads.json`: what `tests/consent_pages.rs` writes. They are served as they are, on 127.0.0.1, where only the
// origins of the two authorization servers become those of servers here, on `localhost`: another site. Prints one line of JSON:
// `{ok, pages: {NAME: [fault, …]}, least}` of a look at each page, where `least` is the least contrast of any text, or `{ok, way: {…}}` of what
// came of going that way. Screenshots are of each page, light and dark, at 1280 and at 320 pixels.

import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { launch } from './chromium.mjs';
import { options } from './process.mjs';

const { pages: folder, part, screenshots } = options({ pages: '', part: 'look', screenshots: '' });
const PATIENCE = 180_000;

const heads = JSON.parse(readFileSync(join(folder, 'heads.json'), 'utf8'));
const names = readdirSync(folder).filter((name) => name.endsWith('.html')).map((name) => name.slice(0, -5)).filter((name) => heads[name].status !== 303);

async function serve(answer) {
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (part) => (body += part));
    request.on('end', () => answer(request, response, body));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, port: server.address().port };
}

/** What came, oldest first: `{at, method, url, origin, site, referer, cookie, body}`. */
const seen = [];
function note(at, request, body) {
  const { origin = null, referer = null, cookie = null } = request.headers;
  seen.push({ at, method: request.method, url: request.url, origin, site: request.headers['sec-fetch-site'], referer, cookie, body });
}

function send(response, status, headers, body = '') {
  response.writeHead(status, headers);
  response.end(body);
}

// A website that nobody named: where a server leads on to, and where the link stands that users follow.
const other = await serve((request, response, body) => {
  if (request.url === '/favicon.ico') return send(response, 404, {});
  note('other', request, body);
  const ours = `http://127.0.0.1:${us.port}`;
  const inside = {
    '/chat': `<a id="link" href="${ours}/start">The link</a>`,
    '/popup': `<script>addEventListener('click', () => { window.opened = open('${ours}/start'); })</script><button>Open</button>`,
    '/frame': `<iframe src="${ours}/start"></iframe>`,
    '/forge': `<form method="post" action="${ours}/consent/start"><input name="link" value="x"><button>Win</button></form>`,
  };
  send(response, 200, { 'content-type': 'text/html' }, `<!doctype html><title>Elsewhere</title>${inside[request.url] ?? 'landed'}`);
});

// The authorization server: it sends the browser back, or leads on to another one.
const login = await serve((request, response, body) => {
  if (request.url === '/favicon.ico') return send(response, 404, {});
  note('login', request, body);
  // Many servers let their own form lead to the redirect URI alone.
  if (request.url === '/form' && request.method === 'GET') {
    const headers = { 'content-type': 'text/html', 'content-security-policy': `form-action 'self' http://127.0.0.1:${us.port}` };
    return send(response, 200, headers, '<!doctype html><title>Sign in</title><form method="post"><button>Sign in</button></form>');
  }
  if (request.url === '/form') return send(response, 303, { location: `http://127.0.0.1:${us.port}/consent/signed-in/corp?code=c&state=s` });
  const back = `http://127.0.0.1:${us.port}/consent/callback/hr?code=c&state=s`;
  const onward = `http://localhost:${other.port}/landed`;
  send(response, 302, { location: request.url.includes('leads_on') || request.url.includes('state=') ? onward : back });
});

function headersOf(name, { policy = (text) => text } = {}) {
  const lines = [...heads.all.headers, ...heads[name].headers];
  const here = (text) => text.replace('https://login.corp.example', `http://localhost:${login.port}`);
  const line = (text) => [text.slice(0, text.indexOf(': ')), text.slice(text.indexOf(': ') + 2)];
  return lines.map(line).map(([key, value]) => [key, key === 'content-security-policy' ? policy(here(value)) : here(value)]);
}

/** How the next page is changed, or how the form is answered, for one part of the way. */
let bend = {};
const us = await serve((request, response, body) => {
  const { pathname } = new URL(request.url, 'http://localhost');
  if (pathname === '/favicon.ico') return send(response, 404, {});
  note('us', request, body);
  if (pathname === '/consent/signed-in/corp' && !bend.leave) {
    const onward = `http://localhost:${other.port}/landed`;
    return send(response, 303, headersOf('see_other').map(([key, value]) => [key, key === 'location' ? onward : value]).flat());
  }
  if (pathname === '/consent/signed-in/corp') return send(response, 200, headersOf('leave').flat(), page('leave'));
  if (pathname === '/consent/start') {
    const headers = headersOf('see_other').map(([key, value]) => [key, key === 'location' ? value + (bend.query ?? '') : value]);
    if (bend.leave) return send(response, 200, headersOf('leave').flat(), page('leave'));
    return send(response, 303, headers.flat());
  }
  const name = pathname === '/consent/callback/hr' ? 'done' : pathname.slice(1);
  if (!names.includes(name)) return send(response, 404, {});
  send(response, heads[name].status, headersOf(name, bend).flat(), page(name));
});
const page = (name) => readFileSync(join(folder, `${name}.html`), 'utf8').replaceAll('https://login.corp.example', `http://localhost:${login.port}`);

const { browser, end } = await launch({ protocolTimeout: PATIENCE });

/** A tab that keeps what goes wrong in it. */
async function tab(context) {
  const opened = await context.newPage();
  watch(opened);
  return opened;
}

function watch(opened) {
  opened.faults = [];
  opened.setDefaultTimeout(PATIENCE);
  // A page with the status of an error is one on the console: that is the page itself.
  opened.on('console', (message) => {
    if (!/Failed to load resource: the server responded with a status of/.test(message.text())) opened.faults.push(`console: ${message.text()}`);
  });
  opened.on('pageerror', (error) => opened.faults.push(`script: ${error.message}`));
  opened.on('dialog', (dialog) => { opened.faults.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
}

/** What is wrong with the page that is shown, as its readers with eyes, without, and with a keyboard meet it. */
function inspect() {
  const faults = [];
  const expect = (holds, fault) => holds || faults.push(fault);
  const all = (selector) => [...document.querySelectorAll(selector)];
  expect(document.documentElement.lang === 'en', 'no language');
  expect(all('main').length === 1, 'not one main');
  expect(all('h1').length === 1, 'not one h1');
  expect(document.title.startsWith(document.querySelector('h1')?.textContent.trim() || '?'), `the title is ${document.title}`);
  let level = 0;
  for (const heading of all('h1, h2, h3, h4, h5, h6')) {
    const next = Number(heading.tagName[1]);
    expect(next <= level + 1 && heading.textContent.trim(), `heading ${heading.outerHTML} after level ${level}`);
    level = next;
  }
  for (const control of all('button, a, input:not([type=hidden]), select, textarea')) {
    expect(control.textContent.trim() || control.labels?.length, `no name: ${control.outerHTML}`);
    const { width, height } = control.getBoundingClientRect();
    expect(width >= 44 && height >= 44, `small: ${control.outerHTML} ${width}×${height}`);
  }
  expect(all('dt').length === all('dd').length, 'terms without descriptions');
  expect(all('script, img, link, iframe, object, style[nonce], [onload], [style]').length === 0, 'what a page must not have');
  // WCAG 2.2, 1.4.3: the contrast of each text with what is behind it.
  const channels = (color) => color.match(/[\d.]+/g).map(Number);
  const light = (color) => {
    const [red, green, blue] = channels(color).map((value) => value / 255).map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const contrast = (one, two) => {
    const [high, low] = [light(one), light(two)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      const [, , , alpha = 1] = channels(color);
      if (alpha === 1) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let texts = 0;
  let least = 21;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.getClientRects().length) continue;
    texts += 1;
    const found = contrast(getComputedStyle(element).color, behind(element));
    least = Math.min(least, found);
    expect(found >= 4.5, `contrast ${found.toFixed(2)}: ${walker.currentNode.data}`);
    expect(parseFloat(getComputedStyle(element).fontSize) >= 14, `small text: ${walker.currentNode.data}`);
  }
  expect(texts > 3, `${texts} texts`);
  // And of what shows where the keyboard is, 1.4.11.
  const focused = document.activeElement;
  if (focused && focused !== document.body) {
    const style = getComputedStyle(focused);
    expect(focused.matches(':focus-visible') && style.outlineStyle === 'solid' && parseFloat(style.outlineWidth) >= 2, 'the focus cannot be seen');
    expect(contrast(style.outlineColor, behind(focused.parentElement)) >= 3, 'the focus is pale');
  }
  return { faults, least, focused: focused !== document.body };
}

/** Presses the tab key until something has the focus. */
async function reach(opened, selector) {
  for (let presses = 0; presses < 5; presses += 1) {
    await opened.keyboard.press('Tab');
    if (await opened.evaluate((wanted) => document.activeElement?.matches(wanted), selector)) return true;
  }
  return false;
}

const sideways = () => document.documentElement.scrollWidth - document.documentElement.clientWidth;

/** Looks at the page `name` in `opened`. */
async function look(opened, name) {
  const faults = [];
  let least = 21;
  opened.faults = [];
  await opened.setViewport({ width: 1280, height: 800 });
  await opened.goto(`http://127.0.0.1:${us.port}/${name}`);
  const control = await opened.$('button, a');
  if (control && !(await reach(opened, 'button, a'))) faults.push('the keyboard does not reach the button');
  for (const [width, scheme] of [[1280, 'light'], [1280, 'dark'], [320, 'light'], [320, 'dark']]) {
    const where = `${width} ${scheme}: `;
    await opened.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    await opened.setViewport({ width, height: 800 });
    if (screenshots) await opened.screenshot({ path: join(screenshots, `${name}-${width}-${scheme}.png`), fullPage: true });
    const wide = await opened.evaluate(sideways);
    if (wide > 0) faults.push(`${where}${wide} pixels stick out`);
    const found = await opened.evaluate(inspect);
    least = Math.min(least, found.least);
    if (control && !found.focused) faults.push(`${where}nothing has the focus`);
    faults.push(...found.faults.map((fault) => where + fault));
  }
  // Text alone twice as large (1.4.4).
  await opened.evaluate(() => { document.documentElement.style.fontSize = '200%'; });
  for (const width of [320, 1280]) {
    await opened.setViewport({ width, height: 800 });
    const wide = await opened.evaluate(sideways);
    if (wide > 0) faults.push(`${width}: ${wide} pixels stick out when text is large`);
  }
  const tree = await opened.accessibility.snapshot({ interestingOnly: false });
  const aloud = [];
  const walk = (node) => { aloud.push(node); node.children?.forEach(walk); };
  walk(tree);
  const [heading, ...others] = aloud.filter((node) => node.role === 'heading' && node.level === 1);
  if (!heading?.name || others.length) faults.push('not one heading is read aloud');
  if (!aloud.some((node) => node.role === 'main')) faults.push('no main part is told');
  if (control && !aloud.some((node) => ['button', 'link'].includes(node.role) && node.name)) faults.push('the button has no name');
  faults.push(...(await opened.evaluate(() => window.violations)), ...opened.faults);
  return { faults, least };
}

/** Looks at all of them. */
async function lookAtAll() {
  if (screenshots) mkdirSync(screenshots, { recursive: true });
  const opened = await tab(browser);
  await opened.evaluateOnNewDocument(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  // A page that leaves by itself stays here to be looked at: where it leads to has nothing to show.
  await opened.setRequestInterception(true);
  opened.on('request', (request) => (request.url().startsWith(`http://127.0.0.1:${us.port}/`) ? request.continue() : request.respond({ status: 204 })));
  const pages = {};
  let least = 21;
  for (const name of names) {
    const found = await look(opened, name);
    pages[name] = found.faults;
    least = Math.min(least, found.least);
  }
  return { pages, least };
}

/** By the keyboard to the button, and on; `until` is where it ends. */
async function press(opened, until) {
  await opened.waitForSelector('button, a');
  await reach(opened, 'button, a');
  await Promise.all([opened.waitForNavigation(), opened.keyboard.press('Enter')]);
  await opened.waitForFunction((text) => document.body.textContent.includes(text), {}, until);
}

const came = (at, part) => seen.filter((request) => request.at === at && request.url.includes(part));

/** From a link on another site to the end. */
async function whole(from, { policy, query, leave, until }) {
  seen.length = 0;
  bend = { policy, query, leave };
  const context = await browser.createBrowserContext();
  const opened = await tab(context);
  const told = {};
  await opened.goto(`http://localhost:${other.port}/${from}`);
  let page = opened;
  if (from === 'popup') {
    const popup = new Promise((resolve) => opened.once('popup', resolve));
    await opened.click('button');
    page = await popup;
    watch(page);
    await page.waitForSelector('h1');
    told.opener = await page.evaluate(() => String(window.opener));
    told.held = await opened.evaluate(() => !window.opened.closed);
  } else {
    await Promise.all([opened.waitForNavigation(), opened.click('a')]);
  }
  if (until) {
    await press(page, until);
  } else {
    // It must not leave: the policy is in the way, which the console tells.
    await reach(page, 'button');
    const before = page.url();
    const blocked = new Promise((resolve) => page.on('console', (message) => /form-action/.test(message.text()) && resolve(message.text())));
    await page.keyboard.press('Enter');
    told.blocked = (await blocked).replaceAll(/\d{4,5}/g, 'PORT');
    told.stayed = page.url() === before;
    page.faults = [];
  }
  const [post] = came('us', '/consent/start');
  told.post = post && { method: post.method, origin: post.origin, site: post.site, referer: post.referer, cookie: post.cookie, body: post.body };
  told.servers = seen.filter((request) => request.at !== 'us').slice(1).map(({ at, method, url, referer }) => ({ at, method, url, referer }));
  const [back] = came('us', '/consent/callback');
  told.back = back && { cookie: back.cookie, site: back.site };
  told.title = await page.title();
  told.kept = (await context.cookies()).map(({ name, secure, httpOnly, sameSite, path, domain }) => ({ name, secure, httpOnly, sameSite, path, domain }));
  told.faults = page.faults;
  await context.close();
  return told;
}

/** From the form of a server that signs users in to another server, by way of ours. */
async function between(leave) {
  seen.length = 0;
  bend = { leave };
  const context = await browser.createBrowserContext();
  const opened = await tab(context);
  await opened.goto(`http://localhost:${login.port}/form`);
  let blocked = null;
  if (leave) {
    await press(opened, 'landed');
  } else {
    const told = new Promise((resolve) => opened.on('console', (message) => /form-action/.test(message.text()) && resolve(message.text())));
    await reach(opened, 'button');
    await opened.keyboard.press('Enter');
    blocked = (await told).replaceAll(/\d{4,5}/g, 'PORT');
  }
  const title = await opened.title();
  await context.close();
  return { blocked, title, passed: came('us', '/consent/signed-in').length, landed: came('other', '/landed').length };
}

/** A page that puts ours in a frame, and one that posts our form. */
async function misused() {
  bend = {};
  seen.length = 0;
  const context = await browser.createBrowserContext();
  const opened = await tab(context);
  await opened.goto(`http://localhost:${other.port}/frame`);
  const framed = await Promise.all(opened.frames().slice(1).map((frame) => frame.evaluate(() => document.body?.textContent.includes('access') ?? false).catch(() => false)));
  // First the user is at our page, so that there is a cookie.
  await opened.goto(`http://127.0.0.1:${us.port}/start`);
  await opened.goto(`http://localhost:${other.port}/forge`);
  await Promise.all([opened.waitForNavigation(), opened.click('button')]);
  const [post] = came('us', '/consent/start');
  await context.close();
  return { framed, forged: { site: post.site, origin: post.origin && post.origin.replace(/\d+$/, 'PORT'), cookie: post.cookie } };
}

/** Each way that a user, or somebody else, can go. */
async function goEachWay() {
  const done = 'Access is allowed';
  return {
    link: await whole('chat', { until: done }),
    popup: await whole('popup', { until: done }),
    unnamed: await whole('chat', { policy: (text) => text.replace(/http:\/\/localhost:\d+ /, '') }),
    leads_on: await whole('chat', { query: '&leads_on=1' }),
    leave: await whole('chat', { leave: true, until: 'landed' }),
    between: [await between(false), await between(true)],
    misused: await misused(),
  };
}

try {
  console.log(JSON.stringify({ ok: true, ...(part === 'look' ? await lookAtAll() : { way: await goEachWay() }) }));
} finally {
  await end();
  for (const { server } of [us, login, other]) {
    server.close();
    server.closeAllConnections();
  }
}
