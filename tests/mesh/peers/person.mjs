// Persons with browsers: headless Chromium, in which each person has cookies of their own. They sign in and consent at
// `user_server.mjs`, and use the pages of the consent flow.
//
//   node person.mjs [--map HOST=PORT]... [--trust FILE]... [--steps JSON]
//
//   --map HOST=PORT   that host, at port 443, is 127.0.0.1:PORT
//   --trust FILE      a server's certificate (PEM) whose key is trusted, for the names in it
//   --steps JSON      does these one after the other, prints a list of what they told, and ends
//
// Without --steps it listens, and does what is posted to it, one JSON object each: {"person", "tab", "do", …}. `person` and `tab`
// (`main` if it is absent) are made when they are first named.
//
//   open {url}               goes there
//   press {button}           presses the button, or follows the link, with this text
//   fill {fields}            writes into the form's fields, by their names
//   sign_in {account}        signs in at the page of a user server, by the account's password
//   see                      tells what the page says now
//   reload, back             as in a browser
//   cookies                  lists all cookies of the person
//   plant {cookies}          puts cookies there: [{"name", "value", "url", …}]
//   evaluate {script}        what a script of the page gives: {"value"}
//   screenshot {file, width, height}
//   leave                    forgets the person, with all cookies
//
// With `hold: PREFIX` a step does not go to a page whose URL begins so: `held` is that URL, and the browser stays where it is.
// The answer is what the page says: {"url", "status", "title", "h1", "text", "headers", "buttons", "links", "fields", "forms", "hops" (each
// navigation of this step: {"method", "url", "referer", "status", "headers"}), "faults" (console, scripts, failed requests, names of certificates),
// "violations" (of the content security policy)}, or {"error"}.

import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { launch } from './chromium.mjs';
import { options, ready } from './process.mjs';

const args = options({ map: [], trust: [], steps: '', port: '0' });
/** Less than those wait who have sent a step. */
const PATIENCE = 50_000;
const POLL = 20;
/** oidc-provider sends some forms by script, other pages go on by themselves: such a page is on its way to the next one. */
const ON_ITS_WAY = 'Submitting Callback';
const REFRESHES = 'meta[http-equiv="refresh" i][content^="0"]';

const maps = args.map.map((one) => one.split('='));
const certificates = args.trust.map((file) => new X509Certificate(readFileSync(file)));
const pins = certificates.map(({ publicKey }) => createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('base64'));
const flags = [
  ...(maps.length ? [`--host-resolver-rules=${maps.map(([host, port]) => `MAP ${host}:443 127.0.0.1:${port}`).join(',')}`] : []),
  ...(pins.length ? [`--ignore-certificate-errors-spki-list=${pins.join(',')}`] : []),
];

// By a pipe: Chromium ends with this program however that ends.
const { browser, end } = await launch({ args: flags, pipe: true, protocolTimeout: 2 * PATIENCE });
const persons = new Map();

/** A tab, and what it notes while a step is done. */
class Tab {
  static async open(context) {
    const tab = new Tab();
    tab.page = await context.newPage();
    await tab.#prepare();
    return tab;
  }

  async #prepare() {
    const { page } = this;
    this.#begin();
    page.setDefaultTimeout(PATIENCE);
    await page.setViewport({ width: 1280, height: 900 });
    await page.evaluateOnNewDocument(() => {
      window.violations = [];
      document.addEventListener('securitypolicyviolation', (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
    });
    page.on('console', (message) => {
      if (!['error', 'warn'].includes(message.type())) return;
      this.faults.push(`console: ${message.text()}`);
      if (/Content Security Policy/.test(message.text())) this.blocked(message.text());
    });
    page.on('pageerror', (error) => this.faults.push(`script: ${error.message}`));
    page.on('requestfailed', (request) => {
      if (request.url() !== this.held) this.faults.push(`request: ${request.url()} ${request.failure()?.errorText}`);
    });
    await page.setRequestInterception(true);
    page.on('request', (request) => {
      const navigates = request.isNavigationRequest() && request.frame() === page.mainFrame();
      if (navigates && this.hold && request.url().startsWith(this.hold)) {
        this.held = request.url();
        this.stopped();
        return request.abort('aborted');
      }
      if (navigates) this.hops.push({ method: request.method(), url: request.url(), referer: request.headers().referer ?? null });
      return request.continue();
    });
    page.on('response', (response) => {
      const hop = this.hops.findLast((one) => one.url === response.url() && !one.status);
      if (hop) Object.assign(hop, { status: response.status(), headers: response.headers() });
      const redirects = response.status() >= 300 && response.status() < 400;
      if (hop && !redirects) this.answer = response;
      this.#checkName(response);
    });
  }

  /** The key of a certificate is trusted whatever it stands for: whether the host is in it is looked at here. */
  #checkName(response) {
    const { protocol, hostname } = new URL(response.url());
    if (protocol !== 'https:') return;
    const names = response.securityDetails()?.subjectAlternativeNames() ?? [];
    if (!names.includes(hostname)) this.faults.push(`certificate: ${hostname} is not among ${names.join(', ') || 'no names'}`);
  }

  #begin() {
    Object.assign(this, { hops: [], faults: [], answer: undefined, held: undefined });
    this.ending = new Promise((resolve) => {
      this.stopped = resolve;
      this.blocked = resolve;
    });
  }

  /** Does what may lead to another page, and waits until it has. */
  async #go(act) {
    const arrived = this.page.waitForNavigation({ waitUntil: 'load' });
    arrived.catch(() => {});
    const acted = act();
    acted.catch(() => {});
    await Promise.race([Promise.all([acted, arrived]), this.ending]);
    const late = Date.now() + PATIENCE;
    while (!this.held && Date.now() < late && (await this.#isOnItsWay())) await pause(POLL);
  }

  async #isOnItsWay() {
    try {
      const look = (selector) => [document.title, document.readyState, document.querySelector(selector) !== null];
      const [title, state, refreshes] = await this.page.evaluate(look, REFRESHES);
      return title === ON_ITS_WAY || state !== 'complete' || refreshes;
    } catch {
      return true;
    }
  }

  async #press(text) {
    const control = await this.page.evaluateHandle((wanted) => {
      const name = (one) => (one.value && one.tagName === 'INPUT' ? one.value : one.textContent).trim();
      return [...document.querySelectorAll('button, input[type=submit], a[href]')].find((one) => name(one) === wanted) ?? null;
    }, text);
    const element = control.asElement();
    if (!element) throw new Error(`the page has no button ${text}`);
    await this.#go(() => element.click());
  }

  async #fill(fields) {
    for (const [name, value] of Object.entries(fields)) {
      const field = await this.page.$(`[name=${JSON.stringify(name)}]`);
      if (!field) throw new Error(`the page has no field ${name}`);
      // Not typed: a keyboard has not every letter, and what stands there is replaced.
      await field.evaluate((one, text) => { one.value = text; }, value);
    }
  }

  async #act(step) {
    const { page } = this;
    switch (step.do) {
      case 'open':
        return this.#go(() => page.goto(step.url));
      case 'press':
        return this.#press(step.button);
      case 'fill':
        return this.#fill(step.fields);
      case 'sign_in':
        await this.#fill({ account: step.account, password: `${step.account}-password` });
        return this.#press('Sign in');
      case 'see':
        return undefined;
      case 'reload':
        return this.#go(() => page.reload());
      case 'back':
        return this.#go(() => page.goBack());
      case 'cookies':
        return { cookies: await page.browserContext().cookies() };
      case 'plant':
        return void (await page.browserContext().setCookie(...step.cookies.map(({ url, ...cookie }) => ({ domain: new URL(url).hostname, ...cookie }))));
      case 'evaluate':
        return { value: await page.evaluate(step.script) };
      case 'screenshot':
        await page.setViewport({ width: step.width ?? 1280, height: step.height ?? 900 });
        return void (await page.screenshot({ path: step.file }));
      default:
        throw new Error(`nobody can ${step.do}`);
    }
  }

  /** What the page says. */
  async #seen() {
    const said = await this.page.evaluate(() => {
      const text = (one) => one?.textContent.trim() ?? '';
      const all = (selector) => [...document.querySelectorAll(selector)];
      return {
        title: document.title,
        h1: text(document.querySelector('h1')),
        text: document.body?.innerText ?? '',
        buttons: all('button, input[type=submit]').map((one) => text(one) || one.value),
        links: all('a[href]').map((one) => ({ text: text(one), href: one.href })),
        fields: Object.fromEntries(all('input[name], select[name], textarea[name]').map((one) => [one.name, one.value])),
        forms: all('form').map((one) => ({ action: one.action, method: one.method })),
        violations: window.violations ?? [],
      };
    });
    const { hops, faults, held, answer } = this;
    return { url: this.page.url(), ...said, ...(answer && { status: answer.status(), headers: answer.headers() }), hops, faults, ...(held && { held }) };
  }

  async do(step) {
    this.#begin();
    this.hold = step.hold;
    try {
      const more = await this.#act(step);
      return { ...(await this.#seen()), ...more };
    } catch (error) {
      return { error: error.message, url: this.page.url(), hops: this.hops, faults: this.faults };
    }
  }
}

async function tabOf(name, tab) {
  if (!persons.has(name)) persons.set(name, { context: await browser.createBrowserContext(), tabs: new Map() });
  const person = persons.get(name);
  if (!person.tabs.has(tab)) person.tabs.set(tab, await Tab.open(person.context));
  return person.tabs.get(tab);
}

async function act({ person = 'somebody', tab = 'main', ...step }) {
  if (step.do === 'leave') {
    await persons.get(person)?.context.close();
    persons.delete(person);
    return {};
  }
  return (await tabOf(person, tab)).do(step);
}

if (args.steps) {
  const told = [];
  for (const step of JSON.parse(args.steps)) told.push(await act(step));
  console.log(JSON.stringify({ ok: told.every(({ error }) => !error), steps: told }));
  await end();
} else {
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    const told = await act(JSON.parse(text)).catch((error) => ({ error: error.message }));
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(told));
  });
  for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => end().finally(() => process.exit(0)));
  server.listen(Number(args.port), '127.0.0.1', () => ready(server.address().port));
}
