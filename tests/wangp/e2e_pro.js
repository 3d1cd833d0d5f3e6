// node e2e_pro.js PORT SHOTS SAVES START ANCHOR1 ANCHOR2: SVI 2 Pro on the real page, from choosing it
// to the video. Prints one JSON line: the models offered, the status lines seen, the video that plays.
const { chromium } = require('playwright-core');
const fs = require('fs');
const [port, shots, saves, start, ...anchors] = process.argv.slice(2);
const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];
(async () => {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: flags });
  const page = await browser.newPage({ viewport: { width: 2400, height: 1900 } });
  page.setDefaultTimeout(120000);
  await page.goto(`http://127.0.0.1:${port}/`, { waitUntil: 'load', timeout: 180000 });
  await page.waitForSelector('input[role=listbox]');
  await page.waitForTimeout(8000);
  const visible = async (selector) => {
    const found = [];
    for (const element of await page.$$(selector)) if (await element.isVisible()) found.push(element);
    return found;
  };
  const pick = async (index, pattern) => {
    await (await visible('input[role=listbox]'))[index].click();
    await page.waitForTimeout(1500);
    const options = await page.$$eval('ul[role=listbox] li', (l) => l.map((x) => x.textContent.trim()));
    const wanted = page.locator('ul[role=listbox] li').filter({ hasText: pattern }).first();
    if (await wanted.count()) await wanted.click(); else await page.keyboard.press('Escape');
    await page.waitForTimeout(8000);
    return options;
  };
  const pickByValue = async (value, option) => {
    const found = await visible('input[role=listbox]');
    for (let i = 0; i < found.length; i++) if (value.test(await found[i].inputValue())) return pick(i, option);
    return [];
  };
  const upload = async (label, files) => {
    const labels = page.locator('label', { hasText: label });
    for (let i = 0; i < await labels.count(); i++) {
      if (!await labels.nth(i).isVisible()) continue;
      const block = labels.nth(i).locator('xpath=ancestor::div[contains(@class,"block")][1]');
      await block.locator('input[type=file]').first().setInputFiles(files);
      await page.waitForTimeout(6000);
      return true;
    }
    return false;
  };
  const number = async (label, value) => {
    const block = page.locator('div.block', { hasText: label }).locator('input[type=number]');
    for (let i = 0; i < await block.count(); i++) {
      if (!await block.nth(i).isVisible()) continue;
      await block.nth(i).fill(String(value));
      await block.nth(i).press('Tab');
      await page.waitForTimeout(1500);
      return;
    }
  };
  await pick(0, /Wan2\.2/);
  await pick(1, /Image2video 14B/i);
  const models = await pick(2, /SVI 2 Pro/);
  await upload(/Images as starting points/, [start]);
  await pickByValue(/No Anchor Image/, /Anchor Images For Each/);
  await upload(/Reference Images|Images Refs|Start \/ Reference/i, anchors);
  for (const area of await visible('textarea')) {
    const text = await area.inputValue();
    if (text.length > 60) { await area.fill('a cat sits (at 0.5 seconds: it jumps)\n\na dog runs\n\na bird flies'); break; }
  }
  const budget = await pickByValue(/^\d+p$/, /256p|320p/);
  const sizes = await pickByValue(/^\d+x\d+/, /64x64/);
  await number(/Number of frames/, 41);
  await number(/Number of Inference Steps/, 2);
  const advanced = page.getByLabel('Advanced Mode').first();
  if (!await advanced.isChecked()) await advanced.click();
  await page.waitForTimeout(4000);
  await page.getByRole('tab', { name: /Sliding Window/ }).first().click();
  await page.waitForTimeout(1500);
  await number(/Sliding Window Size/, 17);
  await page.screenshot({ path: `${shots}/set.png`, fullPage: true });
  await page.getByRole('button', { name: 'Generate', exact: true }).first().click();
  const seen = [];
  const saved = () => fs.readdirSync(saves).filter((name) => name.endsWith('.mp4')).length;
  for (let i = 0; i < 600 && saved() < 3; i++) {
    await page.waitForTimeout(2000);
    const status = await page.evaluate(() => [...document.querySelectorAll('textarea, .progress-text, .meta-text, [class*=progress-level]')]
      .map((x) => x.value || x.textContent || '').join(' '));
    for (const match of status.matchAll(/Sliding Window \d+\/\d+/g)) if (!seen.includes(match[0])) seen.push(match[0]);
    if (i === 5) await page.screenshot({ path: `${shots}/running.png` });
  }
  await page.waitForTimeout(15000);
  const played = await page.evaluate(async () => {
    const v = [...document.querySelectorAll('video')].filter((x) => /_seed/.test(decodeURI(x.currentSrc || x.src))).pop();
    if (!v) return null;
    v.muted = true;
    try { await v.play(); } catch (e) { return { error: String(e) }; }
    await new Promise((r) => setTimeout(r, 3500));
    return { duration: v.duration, time: v.currentTime, width: v.videoWidth, height: v.videoHeight };
  });
  await page.screenshot({ path: `${shots}/done.png` });
  console.log(JSON.stringify({ models, budget, sizes, seen, played }));
  await browser.close();
})().catch((error) => { console.error(error); process.exit(1); });
