// node e2e_mode.js PORT SHOTS SAVES PROFILE START: on the real page, Wan 2.1 Image2video, a profile
// applied, a start image, Generate; until a second video is there or nothing more happens.
const fs = require('fs');
const { apply, onPage, pick, upload, visible } = require('./e2e.js');
const [port, shots, saves, profile, start] = process.argv.slice(2);
onPage(port, 2400, 1900, async (page) => {
  for (const [i, choice] of [/Wan2\.1/, /^\W*Image2video (480p )?14B/, /480p/].entries()) {
    await pick(page, (await visible(page, 'input[role=listbox]'))[i], choice);
    await page.waitForTimeout(8000);
  }
  await apply(page, profile);
  await page.waitForTimeout(9000);
  await upload(page, /Images as starting points/, [start]);
  await page.screenshot({ path: `${shots}/applied.png`, fullPage: true });
  await page.getByRole('button', { name: 'Generate', exact: true }).first().click();
  const videos = () => fs.readdirSync(saves).filter((name) => name.endsWith('.mp4')).length;
  for (let i = 0; i < 45 && videos() < 2; i++) await page.waitForTimeout(2000);
  await page.waitForTimeout(8000);
  await page.screenshot({ path: `${shots}/made.png`, fullPage: true });
});
