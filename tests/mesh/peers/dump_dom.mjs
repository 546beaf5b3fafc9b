// Headless Chromium (npm's package) as documentation has it on a command line: prints the document once its page has loaded and waits for
// nothing more. Other options are of no use here.
//
//   node dump_dom.mjs --headless --dump-dom URL

import { launch } from './chromium.mjs';

const { browser, end } = await launch();
try {
  const page = await browser.newPage();
  await page.goto(process.argv.at(-1), { waitUntil: 'networkidle0', timeout: 120000 });
  console.log(await page.content());
} finally {
  await end();
}
