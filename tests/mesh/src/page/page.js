// The page of `make run`: shows what the server tells by events, and sends what the form says. All texts are set as texts.
'use strict';

const $ = (id) => document.getElementById(id);
const secret = document.querySelector('meta[name="page-secret"]').content;
const still = matchMedia('(prefers-reduced-motion: reduce)');
const ROWS = 150;
const RECORDS = 100;
/** How long a call stays lit, in milliseconds: less while more of them wait. */
const LIT = 700;
const calls = new Map();
const waiting = [];
let steps = 0;
let isUp = false;
let isLit = false;
let lastTask = '';

/** An element with its class, texts and children. */
function make(tag, kind = '', ...children) {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ''));
  return element;
}

// ---- what the server tells

const source = new EventSource('/events');
source.addEventListener('open', () => say(isUp ? 'standing' : 'starting'));
source.addEventListener('error', () => say('gone'));
source.addEventListener('state', (event) => {
  const state = JSON.parse(event.data);
  isUp = state.phase !== 'starting';
  steps = state.steps ?? 0;
  say(state.phase);
  count();
});
source.addEventListener('call', (event) => passed(JSON.parse(event.data)));
source.addEventListener('record', (event) => recorded(JSON.parse(event.data)));

function say(phase) {
  const words = { starting: 'the mesh is starting', touring: 'the tour is playing', standing: 'the mesh is up', gone: 'no connection: is make run still running?' };
  $('state').dataset.phase = phase;
  $('state').textContent = words[phase];
  $('tour').disabled = phase !== 'standing';
  $('send').querySelector('button').disabled = !isUp || phase === 'gone';
}

function count() {
  const all = [...calls.values()];
  const stated = all.filter((call) => call.holds !== null);
  const wrong = stated.filter((call) => !call.holds).length;
  $('count').textContent = stated.length ? `${stated.length} of the tour${steps ? `’s ${steps}` : ''}, ${wrong || 'none'} otherwise than stated` : '';
}

// ---- calls

function passed(call) {
  if (calls.has(call.id)) return;
  calls.set(call.id, call);
  // A step of the tour has one row, with what came of it the last time.
  const old = call.step === null ? null : $('calls').querySelector(`tr[data-step="${call.step}"]`);
  if (old) {
    calls.delete(old.dataset.call);
    if (call.from === 'again') old.replaceWith(row(call));
    else { old.remove(); $('calls').prepend(row(call)); }
  } else $('calls').prepend(row(call));
  while ($('calls').rows.length > ROWS) {
    calls.delete($('calls').lastElementChild.dataset.call);
    $('calls').lastElementChild.remove();
  }
  lastTask = call.task ?? lastTask;
  count();
  waiting.push(call);
  if (!isLit) next();
}

function row(call) {
  const mark = call.holds === null ? make('span', 'hint', '·') : make('span', call.holds ? 'good' : 'bad', call.holds ? '✓' : '✗');
  mark.title = call.holds === null ? 'your own call' : call.holds ? 'as stated' : `stated: ${call.stated}`;
  const look = make('button', 'link', call.call);
  look.type = 'button';
  look.addEventListener('click', () => { shown(call); light(call); $('look').focus({ preventScroll: true }); $('look').scrollIntoView({ block: 'nearest' }); });
  const cells = [mark, look, call.caller, call.status, make('span', '', verdict(call), make('span', 'hint', call.reason ? '' : call.outcome))];
  const again = make('button', 'quiet', 'again');
  again.type = 'button';
  again.setAttribute('aria-label', `again: ${call.call}, ${call.caller}`);
  again.addEventListener('click', () => repeat(again, call));
  const line = make('tr', '', ...[...cells, call.step === null ? '' : again].map((cell) => make('td', '', cell)));
  line.dataset.call = call.id;
  if (call.step !== null) line.dataset.step = call.step;
  return line;
}

function verdict(call) {
  const isDenied = call.decision === 'deny';
  return make('span', `verdict ${isDenied ? 'deny' : 'allow'}`, isDenied ? call.reason || 'refused' : 'allowed');
}

/** Lights the next of the calls that wait. */
function next() {
  const call = waiting.shift();
  isLit = Boolean(call);
  if (!call) return;
  light(call);
  if (waiting.length > 60) waiting.splice(0, waiting.length - 60);
  setTimeout(next, still.matches ? 0 : waiting.length > 20 ? LIT / 4 : LIT);
}

// ---- the picture

function light(call) {
  const { nodes, refused, fetched } = call.way;
  for (const element of document.querySelectorAll('.picture .on, .picture .off')) element.classList.remove('on', 'off', 'last');
  for (const text of document.querySelectorAll('[data-verdict], [data-who]')) {
    text.dataset.rest ??= text.textContent;
    text.textContent = text.dataset.rest;
  }
  const all = (kind, name) => document.querySelectorAll(`[data-${kind}="${name}"]`);
  nodes.forEach((node, at) => {
    for (const element of all('node', node)) {
      element.classList.add(node === refused ? 'off' : 'on');
      if (at === nodes.length - 1 && !refused) element.classList.add('last');
      const said = element.querySelector('[data-verdict]');
      if (said && node === refused) said.textContent = `✗ ${call.reason}`;
      else if (said) said.textContent = '✓ goes on';
      const who = element.querySelector('[data-who]');
      if (who) who.textContent = who.closest('.narrow') && call.caller.length > 21 ? `${call.caller.slice(0, 20)}…` : call.caller;
    }
    if (at) for (const edge of all('edge', `${nodes[at - 1]}-${node}`)) edge.classList.add('on', ...(node === refused ? ['off'] : []));
  });
  if (fetched) for (const element of [...all('edge', 'outbound-idp'), ...all('node', 'idp')]) element.classList.add('on');
  for (const line of $('calls').rows) line.classList.toggle('now', line.dataset.call === call.id);
  const isDenied = call.decision === 'deny';
  const who = call.who ? `${call.kind ?? 'caller'} ${call.who}` : call.caller;
  const why = [call.why?.happened, call.why?.detail].filter(Boolean).join(' ');
  $('passing').replaceChildren(verdict(call), ' ', make('strong', '', [call.operation ?? call.call, 'by', who].join(' ')), ' ', make('span', 'told', why || call.outcome));
}

// ---- one call, looked at

function shown(call) {
  const parts = [make('p', '', verdict(call), ' ', make('strong', '', call.call), ` by ${call.caller}, HTTP ${call.status}, ${call.took_ms} ms, ${call.envoy} Envoy`)];
  const why = make('div', `why${call.decision === 'deny' ? ' no' : ''}`);
  why.id = 'why';
  why.append(make('p', '', call.why?.happened ?? call.outcome));
  if (call.why?.detail) why.append(make('p', 'mono', call.why.detail));
  if (call.why?.to_do) why.append(make('p', 'hint', `What the caller can do: ${call.why.to_do}.`));
  if (call.link) why.append(make('p', '', 'Until the user agrees: ', away(call.link, 'open the link'), ' and sign in at both servers. The password of an account is its name and ', make('code', '', '-password'), '.'));
  parts.push(why);
  if (call.steps) {
    const list = make('ol', 'steps', ...call.steps.map(({ met, place, says }) => make('li', '', make('span', met === null ? 'hint' : met ? 'good' : 'bad', met === null ? '·' : met ? '✓' : '✗'), make('span', 'place', place), make('span', '', says))));
    parts.push(make('h3', '', 'Step by step, as ', make('code', '', 'attache explain'), ' has it'), list);
  }
  const left = make('div');
  const right = make('div');
  if (call.sent) left.append(make('h3', '', `Sent to ${call.sent.to}`), block([call.sent.line, ...call.sent.headers.map(([name, value]) => `${name}: ${value}`), ...(call.sent.body ? ['', call.sent.body] : [])].join('\n')));
  if (call.echo) right.append(make('h3', '', `What ${call.echo.agent} got`), pairs(call.echo.headers));
  if (call.answer) (call.echo ? left : right).append(make('h3', '', `Answer, HTTP ${call.answer.status}`), block([...call.answer.headers.map(([name, value]) => `${name}: ${value}`), '', call.answer.body].join('\n')));
  parts.push(make('div', 'columns', left, right));
  for (const { envoy, record } of call.records.slice(0, 8)) parts.push(make('h3', '', `Record of the ${envoy} Envoy`), block(JSON.stringify(record)));
  if (!call.records.length) parts.push(make('p', 'hint', 'No Envoy recorded it.'));
  $('looked').replaceChildren(...parts);
}

function block(text) {
  const pre = make('pre', '', text);
  pre.tabIndex = 0;
  return pre;
}

function away(url, text) {
  const link = make('a', '', text);
  Object.assign(link, { href: url, target: '_blank', rel: 'noopener noreferrer' });
  return link;
}

function pairs(list) {
  return make('dl', 'mono', ...list.flatMap(([name, value]) => [make('dt', '', name), make('dd', '', value)]));
}

// ---- records

function recorded({ envoy, record }) {
  const isDenied = record.decision === 'deny';
  const head = make('summary', '', make('span', `verdict ${isDenied ? 'deny' : 'allow'}`, isDenied ? record.reason : 'allow'), ' ', `${record.operation ?? 'not read'} `, make('span', 'hint', [record.agent ?? record.connection ?? 'nobody', envoy, record.client].filter(Boolean).join(' · ')));
  const item = make('li', '', make('details', '', head, block(JSON.stringify(record))));
  item.dataset.request = record.request_id ?? '';
  $('records').prepend(item);
  while ($('records').children.length > RECORDS) $('records').lastElementChild.remove();
}

// ---- what is sent

async function post(path, body) {
  const response = await fetch(path, { method: 'POST', headers: { 'content-type': 'application/json', 'x-attache-page': secret }, body: JSON.stringify(body) });
  const told = await response.json();
  if (!response.ok) throw new Error(told.error);
  return told;
}

$('send').addEventListener('submit', async (event) => {
  event.preventDefault();
  const form = new FormData($('send'));
  const token = form.get('token');
  const button = $('send').querySelector('button');
  button.disabled = true;
  $('sent').textContent = 'on its way …';
  try {
    const call = await post('/send', {
      to: form.get('to'), binding: form.get('binding'), version: form.get('version'), operation: form.get('operation'), text: form.get('text'),
      task: form.get('task') || lastTask, token: token === 'pasted' ? { pasted: $('pasted').value } : { own: token },
    });
    passed(call);
    shown(call);
    $('sent').replaceChildren(verdict(call), ` ${call.reason ? '' : call.outcome}`);
    $('sent').dataset.call = call.id;
  } catch (error) {
    $('sent').textContent = error.message;
  }
  button.disabled = !isUp;
});

async function repeat(button, call) {
  button.disabled = true;
  try {
    const again = await post('/again', { step: call.step });
    passed(again);
    shown(again);
    $('calls').querySelector(`tr[data-step="${call.step}"] button.quiet`)?.focus();
  } catch (error) {
    $('sent').textContent = error.message;
    button.disabled = false;
  }
}

$('tour').addEventListener('click', async () => {
  $('tour').disabled = true;
  try {
    await post('/tour', {});
  } catch (error) {
    $('sent').textContent = error.message;
  }
});

const choose = () => { $('paste').hidden = $('token').value !== 'pasted'; };
$('token').addEventListener('change', choose);
choose();
