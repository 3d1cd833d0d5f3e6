// node e2e_given.js PORT SHOTS NAME SETTINGS.json SAVES [LABEL FILE]...: on the real page: settings, and
// files given to the fields with these labels as a user does, Generate; until a third video is there or
// nothing more happens. Screenshots: "NAME given.png", "NAME made.png".
const fs = require('fs');
const { onPage, upload } = require('./e2e.js');
const [port, shots, name, settings, saves, ...fields] = process.argv.slice(2);
onPage(port, 1500, 1900, async (page) => {
  await upload(page, /Load Settings From/, settings);
  await page.waitForTimeout(5000);
  for (let i = 0; i < fields.length; i += 2) await upload(page, new RegExp(fields[i]), [fields[i + 1]]);
  await page.waitForTimeout(2000);
  await page.screenshot({ path: `${shots}/${name} given.png`, fullPage: true });
  await page.getByRole('button', { name: 'Generate', exact: true }).first().click();
  const videos = () => fs.readdirSync(saves).filter((file) => file.endsWith('.mp4')).length;
  for (let i = 0; i < 90 && videos() < 3; i++) await page.waitForTimeout(2000);
  await page.waitForTimeout(8000);
  await page.screenshot({ path: `${shots}/${name} made.png`, fullPage: true });
});
