// What the page scripts share: WanGP's page open in headless Chromium, and hands to use it with.
const { chromium } = require('playwright-core');
const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];

// WanGP's page on `port` in a window of `width` x `height`, handed to `work`; then all is closed.
exports.onPage = async (port, width, height, work) => {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: flags });
  try {
    const page = await browser.newPage({ viewport: { width, height } });
    page.setDefaultTimeout(180000);
    await page.goto(`http://127.0.0.1:${port}/`, { waitUntil: 'load' });
    await page.waitForSelector('input[role=listbox]');
    await page.waitForTimeout(10000);
    await work(page);
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
};

exports.visible = async (page, selector) => {
  const found = [];
  for (const element of await page.$$(selector)) if (await element.isVisible()) found.push(element);
  return found;
};

// The options of a dropdown, the one that fits `pattern` being chosen where there is one.
exports.pick = async (page, box, pattern) => {
  await box.click();
  await page.waitForTimeout(1500);
  const options = await page.$$eval('ul[role=listbox] li', (list) =>
    list.map((x) => x.textContent.replace(/[\u00a0✓]/g, ' ').trim()));
  const wanted = page.locator('ul[role=listbox] li').filter({ hasText: pattern }).first();
  if (await wanted.count()) await wanted.click(); else await page.keyboard.press('Escape');
  return options;
};

// Files into the upload field that stands with a label.
exports.upload = async (page, label, files) => {
  const labels = page.locator('label', { hasText: label });
  for (let i = 0; i < await labels.count(); i++) {
    if (!await labels.nth(i).isVisible()) continue;
    const block = labels.nth(i).locator('xpath=ancestor::div[contains(@class,"block")][1]');
    await block.locator('input[type=file]').first().setInputFiles(files);
    await page.waitForTimeout(10000);
    return;
  }
};

// A value into the visible number field with a label.
exports.number = async (page, label, value) => {
  const fields = page.locator('div.block', { hasText: label }).locator('input[type=number]');
  for (let i = 0; i < await fields.count(); i++) {
    if (!await fields.nth(i).isVisible()) continue;
    await fields.nth(i).fill(String(value));
    await fields.nth(i).press('Tab');
    await page.waitForTimeout(1500);
    return;
  }
};

// Choose a profile by its name and press Apply; the options of its dropdown.
exports.apply = async (page, name) => {
  let button = null;
  for (const x of await exports.visible(page, 'button')) {
    if ((await x.innerText()).trim() === 'Apply') { button = x; break; }
  }
  const at = await button.boundingBox();
  const boxes = [];
  for (const x of await exports.visible(page, 'input[role=listbox]')) {
    boxes.push([Math.abs((await x.boundingBox()).y - at.y), x]);
  }
  boxes.sort((a, b) => a[0] - b[0]);  // the dropdown of profiles stands beside Apply
  const literally = new RegExp(name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&') + '\\s*$');
  const options = await exports.pick(page, boxes[0][1], literally);
  await page.waitForTimeout(1000);
  await button.click();
  return options;
};
