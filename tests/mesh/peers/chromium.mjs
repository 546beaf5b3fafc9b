// Headless Chromium (npm's package) as documentation has it on a command line: prints the document once its page has loaded and waits for
// nothing more. Other options are of no use here.
//
//   node chromium.mjs --headless --dump-dom URL

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import chromium from '@sparticuz/chromium';
import puppeteer from 'puppeteer-core';

const url = process.argv.at(-1);
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
  await page.goto(url, { waitUntil: 'networkidle0', timeout: 120000 });
  console.log(await page.content());
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}
