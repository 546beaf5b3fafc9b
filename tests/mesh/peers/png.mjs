// Makes a PNG small: 8 bits a channel without interlacing in, a palette of 256 colours out.
import { crc32 as zlibCrc, deflateSync, inflateSync } from 'node:zlib';

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

const TABLE = Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value >>> 0;
});
// Node 20 has none of its own in its older releases.
const crc32 = zlibCrc ?? ((bytes) => (bytes.reduce((sum, byte) => TABLE[(sum ^ byte) & 0xff] ^ (sum >>> 8), 0xffffffff) ^ 0xffffffff) >>> 0);

function chunks(png) {
  const found = [];
  for (let at = 8; at < png.length;) {
    const length = png.readUInt32BE(at);
    found.push([png.toString('latin1', at + 4, at + 8), png.subarray(at + 8, at + 8 + length)]);
    at += 12 + length;
  }
  return found;
}

function chunk(name, data) {
  const body = Buffer.concat([Buffer.from(name, 'latin1'), data]);
  const frame = Buffer.alloc(8);
  frame.writeUInt32BE(data.length, 0);
  frame.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
}

// The pixels, with each line's filter undone.
function pixels(raw, width, height, step) {
  const size = width * step;
  const out = Buffer.alloc(size * height);
  for (let line = 0; line < height; line += 1) {
    const filter = raw[line * (size + 1)];
    for (let at = 0; at < size; at += 1) {
      const here = line * size + at;
      const left = at >= step ? out[here - step] : 0;
      const above = line > 0 ? out[here - size] : 0;
      const corner = at >= step && line > 0 ? out[here - size - step] : 0;
      const [a, b, c] = [left, above, corner].map((value) => Math.abs(left + above - corner - value));
      const paeth = a <= b && a <= c ? left : b <= c ? above : corner;
      out[here] = raw[line * (size + 1) + 1 + at] + [0, left, above, (left + above) >> 1, paeth][filter];
    }
  }
  return out;
}

export function smaller(png) {
  const all = chunks(Buffer.from(png));
  const head = all[0][1];
  const [width, height] = [head.readUInt32BE(0), head.readUInt32BE(4)];
  const step = { 2: 3, 6: 4 }[head[9]];
  if (head[8] !== 8 || !step || head[12] !== 0) throw new Error('a PNG of another kind');
  const raw = inflateSync(Buffer.concat(all.filter(([name]) => name === 'IDAT').map(([, data]) => data)));
  const given = pixels(raw, width, height, step);
  const counts = new Map();
  const colors = new Uint32Array(width * height);
  for (let at = 0; at < colors.length; at += 1) {
    colors[at] = (given[at * step] << 16) | (given[at * step + 1] << 8) | given[at * step + 2];
    counts.set(colors[at], (counts.get(colors[at]) ?? 0) + 1);
  }
  const palette = [...counts].sort((one, other) => other[1] - one[1]).slice(0, 256).map(([color]) => color);
  const distance = (one, other) => [16, 8, 0].reduce((sum, shift) => sum + (((one >> shift) & 255) - ((other >> shift) & 255)) ** 2, 0);
  const index = new Map(palette.map((color, at) => [color, at]));
  const nearest = (color) => {
    if (!index.has(color)) {
      const best = palette.reduce((found, one, at) => (distance(one, color) < distance(palette[found], color) ? at : found), 0);
      index.set(color, best);
    }
    return index.get(color);
  };
  const lines = Buffer.alloc((width + 1) * height);
  colors.forEach((color, at) => { lines[at + Math.floor(at / width) + 1] = nearest(color); });
  const header = Buffer.from(head);
  header[9] = 3;
  const table = Buffer.from(palette.flatMap((color) => [color >> 16, (color >> 8) & 255, color & 255]));
  return Buffer.concat([SIGNATURE, chunk('IHDR', header), chunk('PLTE', table), chunk('IDAT', deflateSync(lines, { level: 9 })), chunk('IEND', Buffer.alloc(0))]);
}
