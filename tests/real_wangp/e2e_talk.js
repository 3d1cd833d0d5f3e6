// node e2e_talk.js PORT SHOTS SETTINGS.json START VOICE SAVES: on the real page, SVI-Talk: settings, a
// start image and a voice given as a user does, Generate; until a third video is there or nothing more
// happens.
const fs = require('fs');
const { onPage, upload } = require('./e2e.js');
const [port, shots, settings, start, voice, saves] = process.argv.slice(2);
onPage(port, 1500, 1900, async (page) => {
  await upload(page, /Load Settings From/, settings);
  await page.waitForTimeout(5000);
  await upload(page, /Images as starting points/, [start]);
  await upload(page, /Voice to follow/, voice);
  await page.waitForTimeout(2000);
  await page.screenshot({ path: `${shots}/talk given.png`, fullPage: true });
  await page.getByRole('button', { name: 'Generate', exact: true }).first().click();
  const videos = () => fs.readdirSync(saves).filter((name) => name.endsWith('.mp4')).length;
  for (let i = 0; i < 90 && videos() < 3; i++) await page.waitForTimeout(2000);
  await page.waitForTimeout(8000);
  await page.screenshot({ path: `${shots}/talk made.png`, fullPage: true });
});
