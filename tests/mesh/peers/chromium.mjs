// Headless Chromium. Several programs may want it at once where it is not unpacked yet: each unpacks into a folder of its own, and
// one of these becomes the common one.

import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import chromium from '@sparticuz/chromium';
import puppeteer from 'puppeteer-core';

async function executablePath() {
  const described = new URL('../../package.json', import.meta.resolve('@sparticuz/chromium'));
  const { version } = JSON.parse(readFileSync(described, 'utf8'));
  const all = tmpdir();
  const common = join(all, `attache-chromium-${version}`);
  if (!existsSync(common)) {
    const own = mkdtempSync(join(all, 'attache-chromium-new-'));
    process.env.TMPDIR = own;
    const unpacked = basename(await chromium.executablePath());
    process.env.TMPDIR = all;
    try {
      renameSync(own, common);
    } catch (error) {
      if (!existsSync(join(common, unpacked))) throw error;
      rmSync(own, { recursive: true });
    }
  }
  return join(common, 'chromium');
}

// A browser with an empty profile, which `end` closes and removes; `more` are settings of puppeteer.
export async function launch({ args = [], ...more } = {}) {
  const profile = mkdtempSync(join(tmpdir(), 'attache-browser-'));
  // Not the package's own list, which turns the same-origin policy off.
  const flags = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-zygote', '--no-first-run'];
  const quiet = ['--disable-background-networking', '--disable-component-update', '--disable-sync'];
  const browser = await puppeteer.launch({
    executablePath: await executablePath(),
    args: [...flags, ...quiet, ...args],
    headless: 'shell',
    userDataDir: profile,
    ...more,
  });
  const end = async () => {
    await browser.close();
    rmSync(profile, { recursive: true, force: true });
  };
  return { browser, end };
}
