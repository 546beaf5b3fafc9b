// Panels of a Grafana dashboard as HTML with SVG in it: time series, single numbers and tables, as far as this dashboard has them.

const COLORS = ['#3f8f4f', '#3572b0', '#d9822b', '#8f5bb3', '#c23b3b', '#20878f', '#a88b00', '#c1558b', '#5b6b7b', '#7a4f2a', '#4b4fb8', '#6f9e2e'];
const NAMED = { green: '#3f8f4f', red: '#c23b3b', orange: '#d9822b', blue: '#3572b0' };

export const STYLE = `
* { box-sizing: border-box; margin: 0 }
body { background: #eef0f3; font: 12px "DejaVu Sans", "Open Sans", sans-serif; color: #24292f }
main { width: 1080px; padding: 8px; display: grid; grid-template-columns: repeat(24, 1fr); gap: 8px; background: #eef0f3 }
section { background: #fff; border: 1px solid #d8dce1; border-radius: 3px; padding: 8px 10px; overflow: hidden }
h2 { font-size: 12px; font-weight: 600; margin-bottom: 4px }
.number { font-size: 25px; font-weight: 600; margin-top: 14px; text-align: center }
.number small { font-size: 12px; font-weight: 400; color: #57606a; display: block }
.legend { display: flex; flex-wrap: wrap; column-gap: 12px; row-gap: 2px; margin-top: 4px; font-size: 11px }
.legend i { display: inline-block; width: 10px; height: 3px; margin-right: 4px; vertical-align: middle }
table { border-collapse: collapse; width: 100%; font-size: 11px }
th { text-align: left; border-bottom: 1px solid #d8dce1; padding: 2px 8px }
td { border-bottom: 1px solid #eef0f3; padding: 2px 8px }
text { font-size: 10px; fill: #57606a }
`;

const escaped = (text) => String(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const short = (value, digits = 3) => String(Number(value.toPrecision(digits)));

// A value with its unit, as Grafana would show it.
export function shown(value, unit) {
  if (!Number.isFinite(value)) return '–';
  switch (unit) {
    case 's':
      if (value === 0) return '0 s';
      if (value < 1e-3) return `${short(value * 1e6)} µs`;
      if (value < 1) return `${short(value * 1e3)} ms`;
      return value < 120 ? `${short(value)} s` : `${short(value / 60)} min`;
    case 'percentunit': return `${short(value * 100)} %`;
    case 'reqps': return `${short(value)} /s`;
    case 'cpm': return `${short(value)} /min`;
    case 'Bps': return value < 1000 ? `${short(value)} B/s` : `${short(value / 1000)} kB/s`;
    default: return short(value);
  }
}

function colorOf(panel, name, index) {
  const fixed = panel.fieldConfig.overrides.find(({ matcher }) => matcher.options === name);
  return fixed ? NAMED[fixed.properties[0].value.fixedColor] : COLORS[index % COLORS.length];
}

// The next of 1, 2, 2.5, 5 and 10 times a power of ten.
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

function stacked(series) {
  const sums = new Map();
  return series.map((one) => ({
    ...one,
    points: one.points.map(([time, value]) => {
      const from = sums.get(time) ?? 0;
      const to = from + (Number.isFinite(value) ? value : 0);
      sums.set(time, to);
      return [time, to, from];
    }),
  }));
}

function path(points, x, y) {
  let text = '';
  let isDown = false;
  for (const [time, value] of points) {
    if (Number.isFinite(value)) text += `${isDown ? 'L' : 'M'}${x(time).toFixed(1)} ${y(value).toFixed(1)}`;
    isDown = Number.isFinite(value);
  }
  return text;
}

function chart(panel, given, [start, end]) {
  const [width, height, left, bottom, top] = [505, 168, 58, 18, 6];
  const { unit, custom, max } = panel.fieldConfig.defaults;
  const isStacked = custom.stacking.mode === 'normal';
  const series = isStacked ? stacked(given) : given;
  const highest = Math.max(...series.flatMap(({ points }) => points.map(([, value]) => value)).filter(Number.isFinite));
  const most = max ?? ceiling(highest > 0 ? highest : 1);
  const x = (time) => left + ((time - start) / (end - start)) * (width - left - 8);
  const y = (value) => height - bottom - (value / most) * (height - bottom - top);
  const lines = [0, 0.25, 0.5, 0.75, 1].map((part) => {
    const at = y(part * most).toFixed(1);
    return `<line x1="${left}" x2="${width - 8}" y1="${at}" y2="${at}" stroke="#e6e9ed"/>`
      + `<text x="${left - 5}" y="${Number(at) + 3}" text-anchor="end">${escaped(shown(part * most, unit))}</text>`;
  });
  const step = (end - start) / 6;
  const times = [0, 1, 2, 3, 4, 5, 6].map((index) => {
    const label = `${String(Math.floor((index * step) / 60))}:${String(Math.round((index * step) % 60)).padStart(2, '0')}`;
    return `<text x="${x(start + index * step).toFixed(1)}" y="${height - 4}" text-anchor="middle">${label}</text>`;
  });
  const shapes = series.map(({ name, points }, index) => {
    const color = colorOf(panel, name, index);
    const area = isStacked
      ? path(points, x, y) + path([...points].reverse().map(([time, , from]) => [time, from]), x, y).replace('M', 'L') + 'Z' : '';
    return (area && `<path d="${area}" fill="${color}" fill-opacity="0.35"/>`)
      + `<path d="${path(points, x, y)}" fill="none" stroke="${color}" stroke-width="1.4" stroke-linejoin="round"/>`;
  });
  const legend = series.map(({ name }, index) => `<span><i style="background:${colorOf(panel, name, index)}"></i>${escaped(name)}</span>`);
  return `<svg width="${width}" height="${height}">${lines.join('')}${times.join('')}${shapes.join('')}</svg>`
    + `<div class="legend">${legend.join('')}</div>`;
}

function number(panel, series) {
  const { unit, thresholds, decimals } = panel.fieldConfig.defaults;
  const parts = series.map(({ name, points }) => {
    const value = points.at(-1)[1];
    const step = thresholds.steps.filter(({ value: from }) => from === null || value >= from).at(-1);
    const rounded = decimals === undefined || unit === 'percentunit' ? value : Number(value.toFixed(decimals));
    const label = panel.options.textMode === 'value_and_name' ? `<small>${escaped(name)}</small>` : '';
    return `<div class="number" style="color:${NAMED[step.color]}">${escaped(shown(rounded, unit))}${label}</div>`;
  });
  return parts.join('') || '<div class="number">–</div>';
}

function table(series) {
  const rows = series.map(({ labels, points }) => ({ ...labels, refusals: Math.round(points.at(-1)[1]) }));
  rows.sort((one, other) => other.refusals - one.refusals);
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))].sort((one, other) => (one === 'refusals') - (other === 'refusals'));
  const line = (row) => `<tr>${names.map((name) => `<td>${escaped(row[name] ?? '')}</td>`).join('')}</tr>`;
  return `<table><tr>${names.map((name) => `<th>${name}</th>`).join('')}</tr>${rows.slice(0, 12).map(line).join('')}</table>`;
}

// A panel with the series that its queries found, over a range of time in seconds.
export function drawn(panel, series, range) {
  const inside = { timeseries: () => chart(panel, series, range), stat: () => number(panel, series), table: () => table(series) }[panel.type]();
  return `<section style="grid-column: span ${panel.gridPos.w}"><h2>${escaped(panel.title)}</h2>${inside}</section>`;
}
