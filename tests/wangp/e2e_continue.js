// node e2e_continue.js PORT SHOTS FOUR.json TWO.json FOLDER: on the real page, four windows in one run
// (settings FOUR), then two (TWO) and "Continue Last Video" for two more; then "Continue Video" with
// an upload of the video that the two made, under another name. FOLDER is where WanGP saves. Prints
// one JSON line with the videos made; their hand-over files lie beside them, to be compared.
const fs = require('fs');
const { chromium } = require('playwright-core');
const [port, shots, four, two, folder] = process.argv.slice(2);
const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const videos = () => fs.readdirSync(folder).filter((name) => name.endsWith('.mp4')).sort();
(async () => {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: flags });
  const page = await browser.newPage({ viewport: { width: 1500, height: 1900 } });
  page.setDefaultTimeout(180000);
  await page.goto(`http://127.0.0.1:${port}/`, { waitUntil: 'load', timeout: 180000 });
  await page.waitForSelector('input[role=listbox]');
  await page.waitForTimeout(10000);
  const upload = async (label, file) => {
    const labels = page.locator('label', { hasText: label });
    for (let i = 0; i < await labels.count(); i++) {
      if (!await labels.nth(i).isVisible()) continue;
      const block = labels.nth(i).locator('xpath=ancestor::div[contains(@class,"block")][1]');
      await block.locator('input[type=file]').first().setInputFiles(file);
      await page.waitForTimeout(10000);
      return true;
    }
    return false;
  };
  const generate = async (more) => {
    const wanted = videos().length + more;
    await page.getByRole('button', { name: 'Generate', exact: true }).first().click();
    for (let i = 0; i < 200 && videos().length < wanted; i++) await page.waitForTimeout(2000);
    await page.waitForTimeout(10000);
  };
  const before = videos();
  await upload(/Load Settings From/, four);
  await generate(4);
  const whole = videos().filter((name) => !before.includes(name));
  await upload(/Load Settings From/, two);
  await page.screenshot({ path: `${shots}/loaded.png`, fullPage: true });
  await generate(2);
  await page.getByLabel('Continue Last Video').first().click();
  await page.waitForTimeout(5000);
  let prompted = false;
  for (const area of await page.$$('textarea')) {
    if (!await area.isVisible() || !/^one/.test(await area.inputValue())) continue;
    await area.fill('three\nfour');
    await area.press('Tab');
    prompted = true;
    break;
  }
  const frames = page.locator('div.block', { hasText: /Number of frames/ }).locator('input[type=number]');
  for (let i = 0; i < await frames.count(); i++) {
    if (!await frames.nth(i).isVisible()) continue;
    await frames.nth(i).fill('25');
    await frames.nth(i).press('Tab');
    break;
  }
  await page.waitForTimeout(4000);
  await page.screenshot({ path: `${shots}/continue.png`, fullPage: true });
  await generate(2);
  await page.screenshot({ path: `${shots}/continued.png`, fullPage: true });
  const parts = videos().filter((name) => !before.includes(name) && !whole.includes(name));
  await page.getByLabel('Continue Video').first().click();
  await page.waitForTimeout(5000);
  const copy = `${shots}/from somewhere.mp4`;
  fs.copyFileSync(`${folder}/${parts[1]}`, copy);
  await page.locator('#video_input input[type=file]').first().setInputFiles(copy);
  await page.waitForTimeout(10000);
  await page.screenshot({ path: `${shots}/uploaded.png`, fullPage: true });
  await generate(2);
  const uploaded = videos().filter((name) => ![...before, ...whole, ...parts].includes(name));
  console.log(JSON.stringify({ prompted, whole, parts, uploaded }));
  await browser.close();
})().catch((error) => { console.error(error); process.exit(1); });
