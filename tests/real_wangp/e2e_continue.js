// node e2e_continue.js PORT SHOTS FOUR.json TWO.json FOLDER: on the real page, four windows in one run
// (settings FOUR), then two (TWO) and "Continue Last Video" for two more; then "Continue Video" with
// an upload of the video that the two made, under another name. FOLDER is where WanGP saves. Prints
// one JSON line with the videos made; their hand-over files lie beside them, to be compared.
const fs = require('fs');
const { number, onPage, upload, visible } = require('./e2e.js');
const [port, shots, four, two, folder] = process.argv.slice(2);
const videos = () => fs.readdirSync(folder).filter((name) => name.endsWith('.mp4')).sort();
onPage(port, 1500, 1900, async (page) => {
  const generate = async (more) => {
    const wanted = videos().length + more;
    await page.getByRole('button', { name: 'Generate', exact: true }).first().click();
    for (let i = 0; i < 200 && videos().length < wanted; i++) await page.waitForTimeout(2000);
    await page.waitForTimeout(10000);
  };
  const before = videos();
  await upload(page, /Load Settings From/, four);
  await generate(4);
  const whole = videos().filter((name) => !before.includes(name));
  await upload(page, /Load Settings From/, two);
  await page.screenshot({ path: `${shots}/loaded.png`, fullPage: true });
  await generate(2);
  await page.getByLabel('Continue Last Video').first().click();
  await page.waitForTimeout(5000);
  let prompted = false;
  for (const area of await visible(page, 'textarea')) {
    if (!/^one/.test(await area.inputValue())) continue;
    await area.fill('three\nfour');
    await area.press('Tab');
    prompted = true;
    break;
  }
  await number(page, /Number of frames/, 25);
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
});
