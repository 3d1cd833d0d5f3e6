// node e2e_control.js PORT SHOTS SETTINGS.json FOLDER CONTROL...: on the real page, the settings loaded,
// Video to Video chosen, and a video made with each control video. FOLDER is where WanGP saves. Prints
// one JSON line: what the dropdown offers, and the videos made, in order.
const fs = require('fs');
const { onPage, pick, upload, visible } = require('./e2e.js');
const [port, shots, settings, folder, ...controls] = process.argv.slice(2);
const videos = () => fs.readdirSync(folder).filter((name) => name.endsWith('.mp4'));
onPage(port, 1500, 1900, async (page) => {
  await upload(page, /Load Settings From/, settings);
  let offered = [];
  for (const box of await visible(page, 'input[role=listbox]')) {
    if (!/Text & Image Prompt Only/.test(await box.inputValue())) continue;
    offered = await pick(page, box, /guided by Text Prompt & Image/);
    await page.waitForTimeout(8000);
    break;
  }
  const made = [];
  for (const control of controls) {
    const before = videos();
    const block = page.locator('div.block', { has: page.locator('label', { hasText: /^\s*Control Video/ }) });
    for (let i = 0; i < await block.count(); i++) {
      if (!await block.nth(i).isVisible()) continue;
      const clear = block.nth(i).getByLabel('Clear');
      if (await clear.count() && await clear.first().isVisible()) await clear.first().click();
      await page.waitForTimeout(3000);
      await block.nth(i).locator('input[type=file]').first().setInputFiles(control);
      break;
    }
    await page.waitForTimeout(10000);
    await page.screenshot({ path: `${shots}/control ${made.length + 1}.png`, fullPage: true });
    await page.getByRole('button', { name: 'Generate', exact: true }).first().click();
    for (let i = 0; i < 200 && videos().length < before.length + 2; i++) await page.waitForTimeout(2000);
    await page.waitForTimeout(10000);
    made.push(videos().filter((name) => !before.includes(name)).sort());
  }
  console.log(JSON.stringify({ offered, made }));
});
