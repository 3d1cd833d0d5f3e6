// node e2e_pro.js PORT SHOTS SAVES START ANCHOR1 ANCHOR2: SVI 2 Pro on the real page, from choosing it
// to the video. Prints one JSON line: the models offered, the status lines seen, the video that plays.
const fs = require('fs');
const { number, onPage, pick: choose, upload, visible } = require('./e2e.js');
const [port, shots, saves, start, ...anchors] = process.argv.slice(2);
onPage(port, 2400, 1900, async (page) => {
  const dropdowns = () => visible(page, 'input[role=listbox]');
  const pick = async (index, pattern) => {
    const options = await choose(page, (await dropdowns())[index], pattern);
    await page.waitForTimeout(8000);
    return options;
  };
  const pickByValue = async (value, option) => {
    const found = await dropdowns();
    for (let i = 0; i < found.length; i++) if (value.test(await found[i].inputValue())) return pick(i, option);
    return [];
  };
  await pick(0, /Wan2\.2/);
  await pick(1, /Image2video 14B/i);
  const models = await pick(2, /SVI 2 Pro/);
  await upload(page, /Images as starting points/, [start]);
  await pickByValue(/No Anchor Image/, /Anchor Images For Each/);
  await upload(page, /Reference Images|Images Refs|Start \/ Reference/i, anchors);
  for (const area of await visible(page, 'textarea')) {
    const text = await area.inputValue();
    if (text.length > 60) { await area.fill('a cat sits (at 0.5 seconds: it jumps)\n\na dog runs\n\na bird flies'); break; }
  }
  const budget = await pickByValue(/^\d+p$/, /256p|320p/);
  const sizes = await pickByValue(/^\d+x\d+/, /64x64/);
  await number(page, /Number of frames/, 41);
  await number(page, /Number of Inference Steps/, 2);
  const advanced = page.getByLabel('Advanced Mode').first();
  if (!await advanced.isChecked()) await advanced.click();
  await page.waitForTimeout(4000);
  await page.getByRole('tab', { name: /Sliding Window/ }).first().click();
  await page.waitForTimeout(1500);
  await number(page, /Sliding Window Size/, 17);
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
  // The gallery shows the last video when WanGP gets to it; until then it is that of window 2.
  let played = null;
  for (let i = 0; i < 60 && !(played && played.duration > 40 / 16); i++) {
    await page.waitForTimeout(3000);
    played = await page.evaluate(async () => {
      const v = [...document.querySelectorAll('video')].filter((x) => /_seed/.test(decodeURI(x.currentSrc || x.src))).pop();
      if (!v) return null;
      v.muted = true;
      try { await v.play(); } catch (e) { return { error: String(e) }; }
      await new Promise((r) => setTimeout(r, 3500));
      return { duration: v.duration, time: v.currentTime, width: v.videoWidth, height: v.videoHeight };
    });
  }
  await page.screenshot({ path: `${shots}/done.png` });
  console.log(JSON.stringify({ models, budget, sizes, seen, played }));
});
