// Draws the panels of a Grafana dashboard as pictures, one PNG for each row of panels, in headless Chromium. Grafana has no part in it:
// the panels' own queries go to a Prometheus, and charts.mjs draws what they find.
//
//   node draw_dashboard.mjs --dashboard FILE --prometheus URL --out FOLDER [--seconds 180] [--window 15] [--lacks METRIC]
//
// The last `seconds` are drawn, with rates over `window` seconds. The one line that is printed lists the files. A panel without data is
// an error, unless it asks for the metric that there is not.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { launch } from './chromium.mjs';
import { STYLE, drawn } from './charts.mjs';
import { options } from './process.mjs';

const given = options({ dashboard: '', prometheus: '', out: '', seconds: '180', window: '15', lacks: '' });
const seconds = Number(given.seconds);
const end = Math.floor(Date.now() / 1000);
const dashboard = JSON.parse(readFileSync(given.dashboard, 'utf8'));

function filled(expression) {
  let text = expression.replaceAll('$__rate_interval', `${given.window}s`).replaceAll('$__range', `${seconds}s`);
  for (const { name } of dashboard.templating.list) text = text.replaceAll(`$${name}`, '.+');
  return text;
}

function named(format, labels) {
  return (format || '').replaceAll(/\{\{(\w+)\}\}/g, (_, label) => labels[label] ?? '');
}

async function ask(target, panel) {
  const isRange = panel.type === 'timeseries';
  const query = new URLSearchParams({ query: filled(target.expr) });
  if (isRange) {
    for (const [name, value] of Object.entries({ start: end - seconds, end, step: 1 })) query.set(name, value);
  } else query.set('time', end);
  const response = await fetch(`${given.prometheus}/api/v1/query${isRange ? '_range' : ''}?${query}`);
  const answer = await response.json();
  if (answer.status !== 'success') throw new Error(`${panel.title}: ${answer.error}`);
  return answer.data.result.map(({ metric, values, value }) => ({
    labels: metric,
    name: named(target.legendFormat, metric).trim(),
    points: (values ?? [value]).map(([time, text]) => [time, Number(text)]),
  }));
}

async function asked(panel) {
  const lists = await Promise.all(panel.targets.map((target) => ask(target, panel)));
  const series = lists.flat().filter(({ points }) => points.some(([, value]) => Number.isFinite(value)));
  if (series.length === 0 && given.lacks && panel.targets.some(({ expr }) => expr.includes(given.lacks))) return series;
  if (series.length === 0) throw new Error(`no data for panel ${JSON.stringify(panel.title)}`);
  return series;
}

const rows = [];
for (const panel of dashboard.panels) {
  if (panel.type === 'row') rows.push({ title: panel.title, panels: [] });
  else rows.at(-1).panels.push({ panel, html: drawn(panel, await asked(panel), [end - seconds, end]) });
}

const { browser, end: close } = await launch({ args: ['--disable-lcd-text'] });
try {
  const page = await browser.newPage();
  await page.setViewport({ width: 1080, height: 400 });
  const files = [];
  for (const { title, panels } of rows) {
    const body = panels.map(({ html }) => html).join('');
    await page.setContent(`<!doctype html><meta charset="utf-8"><style>${STYLE}</style><main>${body}</main>`);
    const name = `dashboard-${title.toLowerCase().split(/[^a-z]+/)[0]}.png`;
    const main = await page.$('main');
    writeFileSync(join(given.out, name), await main.screenshot({ type: 'png' }));
    files.push(name);
  }
  console.log(JSON.stringify(files));
} finally {
  await close();
}
