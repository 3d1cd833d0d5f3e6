// node e2e_abort.js PORT SHOTS FILM.json FOLDER: on the real page, a film of many windows (settings
// FILM) is paused when its first one is there, watched, aborted, and gone on with by "Continue Last
// Video" for one more. FOLDER is where WanGP saves. Prints one JSON line: the video that was played
// while the run was on, the videos before the abort, and that after it.
const fs = require('fs');
const { number, onPage, upload, visible } = require('./e2e.js');
const [port, shots, film, folder] = process.argv.slice(2);
const videos = () => fs.readdirSync(folder).filter((name) => name.endsWith('.mp4')).sort();
const playing = (page) => page.evaluate(async () => {
  const shown = (v) => /_seed/.test(decodeURI(v.currentSrc || v.src));
  const video = [...document.querySelectorAll('video')].filter(shown).pop();
  if (!video) return null;
  video.muted = true;
  try { await video.play(); } catch (error) { return { error: String(error) }; }
  await new Promise((done) => setTimeout(done, 2500));
  return { duration: video.duration, time: video.currentTime, width: video.videoWidth };
});
onPage(port, 1500, 1900, async (page) => {
  // While a run is on the page never rests, and a click that waits for it to comes too late.
  const press = async (name) => {
    const button = page.getByRole('button', { name, exact: true }).first();
    await button.waitFor({ state: 'visible' });
    await button.dispatchEvent('click');
  };
  await upload(page, /Load Settings From/, film);
  await press('Generate');
  for (let i = 0; i < 600 && videos().length < 1; i++) await page.waitForTimeout(500);
  await press('Pause');
  let played = null;
  for (let i = 0; i < 20 && !played; i++) {
    await page.waitForTimeout(500);
    played = await playing(page);
  }
  await page.screenshot({ path: `${shots}/first-window.png` });
  await press('Resume');
  await press('Abort');
  await page.waitForTimeout(20000);
  const before = videos();
  await page.screenshot({ path: `${shots}/aborted.png` });
  await page.getByLabel('Continue Last Video').first().click();
  await page.waitForTimeout(5000);
  for (const area of await visible(page, 'textarea')) {
    if (!/^one/.test(await area.inputValue())) continue;
    await area.fill('more');
    await area.press('Tab');
    break;
  }
  await number(page, /Number of frames/, 13);
  await page.waitForTimeout(4000);
  await press('Generate');
  for (let i = 0; i < 300 && videos().length === before.length; i++) await page.waitForTimeout(2000);
  await page.waitForTimeout(10000);
  await page.screenshot({ path: `${shots}/went-on.png` });
  const after = videos().filter((name) => !before.includes(name));
  console.log(JSON.stringify({ played, before, after, last: await playing(page) }));
});
