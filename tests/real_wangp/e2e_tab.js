// node e2e_tab.js PORT SHOTS SETTINGS.json PICTURE FOLDER: the tab SVI on the real page. A film of three
// windows becomes one of five, is edited, stopped in window 3 and resumed; window 2 is made again, and
// a take of the last window; the report of the film; health. FOLDER is where WanGP saves. Prints one
// JSON line: what was seen, and the videos that each step made.
const fs = require('fs');
const { onPage, pick, upload } = require('./e2e.js');
const [port, shots, settings, picture, folder] = process.argv.slice(2);
const videos = () => fs.readdirSync(folder).filter((name) => name.endsWith('.mp4')).sort();
onPage(port, 1400, 1100, async (page) => {
  const seen = { errors: [] };
  page.on('pageerror', (error) => seen.errors.push(String(error)));
  const until = async (true_, seconds) => {
    for (let i = 0; i < seconds; i++) {
      if (await true_()) return true;
      await page.waitForTimeout(1000);
    }
    return false;
  };
  const tab = async (name) => {
    await page.getByRole('tab', { name, exact: typeof name === 'string' }).click();
    await page.waitForTimeout(1000);
  };
  const text = (selector) => page.locator(selector).first().innerText();
  const board = () => page.locator('#svi_board .card');
  const card = async (number) => (await board().nth(number - 1).innerText()).replace(/\s+/g, ' ');
  const shot = (name) => page.screenshot({ path: `${shots}/tab ${name}.png`, fullPage: true });
  const field = (id) => page.locator(`#${id} input, #${id} textarea`).first();
  const write = async (id, value) => {
    await field(id).fill(value);
    await field(id).press('Tab');
  };
  const generate = async (more) => {
    const wanted = videos().length + more;
    await page.getByRole('button', { name: /^To the form$/ }).locator('visible=true').first().click();
    await page.waitForTimeout(6000);
    await page.getByRole('button', { name: 'Generate', exact: true }).first().click();
    return wanted;
  };
  const made = async (before, wanted) => {
    await until(async () => videos().length >= wanted, 400);
    await page.getByRole('button', { name: 'Generate', exact: true }).first().waitFor();
    await page.waitForTimeout(5000);
    return videos().filter((name) => !before.includes(name));
  };

  await upload(page, /Load Settings From/, settings);
  await tab('SVI');
  await until(async () => (await board().count()) === 3, 30);
  seen.first = await board().count();
  seen.notice = await page.getByText(/self-test of wan2gp-svi last passed with/).first().innerText();

  // A draft is looked at, thrown away, asked for again and used; then the film is loaded again.
  const draft = async () => {
    await write('svi_idea', 'a fox');
    await page.getByRole('button', { name: 'Draft the prompts' }).last().click();
    await until(async () => (await page.locator('#svi_draft_board .card').count()) === 3, 60);
  };
  await page.getByText('Draft the prompts').first().click();
  await draft();
  seen.draft = await text('#svi_draft_board');
  seen.draftSaid = await text('#svi_draft_said');
  await shot('draft');
  seen.draftUsed = [await card(1)];
  await page.getByRole('button', { name: 'Throw them away' }).click();
  await until(async () => !(await page.locator('#svi_draft').isVisible()), 20);
  seen.draftUsed.push(await card(1));
  await draft();
  await page.getByRole('button', { name: 'Use these prompts' }).click();
  await until(async () => (await board().first().innerText()).includes('fox'), 30);
  seen.draftUsed.push(await card(1));
  await tab(/^(Media|Video) Generator$/);
  await upload(page, /Load Settings From/, settings);
  await tab('SVI');
  await until(async () => (await card(1)).includes('one'), 30);
  await page.getByText('Draft the prompts').first().click();

  // The storyboard: five windows, words, a seed, an anchor of one window each.
  await write('svi_windows', '5');
  await field('svi_windows').press('Enter');
  await until(async () => (await board().count()) === 5, 30);
  await board().nth(3).focus();
  await page.keyboard.press('Enter');
  await until(async () => (await field('svi_window').inputValue()) === '4', 20);
  await page.waitForTimeout(2000);
  await write('svi_words', 'four (at 0.3 s: it sings');
  await until(async () => (await board().nth(3).getAttribute('class')).includes('bad'), 30);
  seen.mistake = await card(4);
  await shot('mistake');
  await write('svi_words', 'four (at 0.3 s: it sings)');
  await until(async () => !(await board().nth(3).getAttribute('class')).includes('bad'), 30);
  await board().nth(1).click();
  await until(async () => (await field('svi_window').inputValue()) === '2', 20);
  await page.waitForTimeout(2000);
  await write('svi_seed', '99');
  await until(async () => (await card(2)).includes('seed 99'), 30);
  await board().nth(2).click();
  await until(async () => (await field('svi_window').inputValue()) === '3', 20);
  await page.waitForTimeout(2000);
  await page.locator('#svi_picture input[type=file]').setInputFiles(picture);
  await until(async () => (await card(3)).includes('anchor 1'), 30);
  // Onto another window by dragging, and away from it by choosing.
  await page.locator('.svib .pics [data-picture="1"]').dragTo(board().nth(4));
  await until(async () => (await card(5)).includes('anchor 1'), 30);
  seen.dragged = await card(5);
  await shot('dragged');
  await board().nth(4).click();
  await until(async () => (await field('svi_window').inputValue()) === '5', 20);
  await page.waitForTimeout(2000);
  seen.anchors = await pick(page, field('svi_anchor'), 'start image');
  await until(async () => (await card(5)).includes('start image'), 30);
  seen.cards = [];
  for (let k = 1; k <= 5; k++) seen.cards.push(await card(k));
  await shot('storyboard');
  await page.evaluate(() => document.body.classList.add('dark'));
  await shot('storyboard dark');
  await page.setViewportSize({ width: 390, height: 844 });
  await page.waitForTimeout(1500);
  await shot('storyboard phone dark');
  await page.evaluate(() => document.body.classList.remove('dark'));
  await shot('storyboard phone');
  seen.fits = await page.evaluate(() => {
    const own = document.querySelector('#svi_tab');
    return own.scrollWidth <= own.clientWidth && own.getBoundingClientRect().right <= innerWidth + 1;
  });
  await page.setViewportSize({ width: 1400, height: 1100 });

  // Another browser has a form of its own, and sees nothing of this one's run.
  const other = await page.context().browser().newPage();
  other.setDefaultTimeout(180000);
  await other.goto(`http://127.0.0.1:${port}/`);
  await other.waitForSelector('input[role=listbox]');
  await other.waitForTimeout(8000);

  // Stopped in window 3, or as soon as a slow machine shows it.
  let before = videos();
  await generate(2);
  seen.tall = await page.$$eval('textarea', (all) => all.filter((x) => x.style.height && x.clientWidth > 60
    && x.value.trim()).map((x) => [x.value.slice(0, 20), x.offsetHeight,
    parseFloat(getComputedStyle(x).lineHeight) * (1.5 + Math.max(x.rows, x.value.split('\n').length))]));
  const main = page.getByText(/SVI window \d of 5/).locator('visible=true').first();
  await until(async () => await main.count(), 60);
  seen.status = await main.count() ? await main.innerText() : '';
  await page.screenshot({ path: `${shots}/tab status.png` });
  // While a run is on the page never rests, and a click that waits for it to comes too late.
  const press = async (name) => {
    const button = page.getByRole('button', { name, exact: true }).locator('visible=true').first();
    if (await until(() => button.count(), 20)) await button.dispatchEvent('click');
  };
  await press('Pause');  // or it is over before a slow machine has looked at it
  await tab('SVI');
  seen.running = [];
  await until(async () => await page.locator('.svi-run').count(), 60);
  await other.getByRole('tab', { name: 'SVI', exact: true }).click();
  await other.waitForTimeout(4000);
  seen.other = { run: await other.locator('.svi-run').count(), cards: await other.locator('.svib .card').count() };
  await other.close();
  const toForm = () => page.getByRole('button', { name: 'To the form' }).locator('visible=true').first().click();
  await toForm();
  await press('Resume');
  await tab('SVI');
  await until(async () => {
    const told = await page.locator('.svi-run').count() ? await text('.svi-run') : '';
    const window = (told.match(/Window \d of \d/) || [''])[0];
    if (window && !seen.running.includes(window)) seen.running.push(window);
    return /^Window [345]/.test(window);
  }, 240);
  await toForm();
  await press('Abort');
  await page.screenshot({ path: `${shots}/tab stopped.png` });
  await page.getByRole('button', { name: 'Generate', exact: true }).first().waitFor();
  await page.waitForTimeout(5000);
  seen.stopped = videos().filter((name) => !before.includes(name));

  // Going on: each step takes the newest video.
  const goOn = async (button, windows, prepare) => {
    before = videos();
    await tab('SVI');
    await tab('Go on');
    await page.getByRole('button', { name: 'Look again' }).locator('visible=true').click();
    await page.waitForTimeout(3000);
    seen.offered = await pick(page, field('svi_video'), before[before.length - 1]);
    await page.waitForTimeout(3000);
    if (prepare) await prepare();
    const old = await text('#svi_said');
    await page.getByRole('button', { name: button }).click();
    await until(async () => {
      const now = (await text('#svi_said')).trim();
      return now !== old.trim() && now.startsWith('In the form now');
    }, 30);
    const said = await text('#svi_said');
    await page.waitForTimeout(3000);
    if (button === 'Resume its run') await shot('go on');
    const wanted = await generate(windows);
    return { said, made: await made(before, wanted) };
  };
  seen.resumed = await goOn('Resume its run', 5 - seen.stopped.length);
  seen.again = await goOn('Make this window again', 1, async () => {
    await field('svi_again_window').fill('2');
    await field('svi_again_seed').fill('1234');
  });
  seen.take = await goOn('Another take of its last window', 1);
  await tab('SVI');
  await page.waitForTimeout(3000);
  await shot('tree');

  await tab('Report');
  await pick(page, field('svi_looked_at'), seen.resumed.made.slice(-1)[0]);
  await page.waitForTimeout(1500);
  await page.getByRole('button', { name: 'Look at it' }).click();
  await until(async () => /windows/.test(await text('#svi_told')), 120);
  seen.report = await text('#svi_told');
  seen.sheet = await page.locator('#svi_sheet img').count();
  await shot('report');
  await tab('Health');
  await page.waitForTimeout(1500);
  seen.health = await text('#svi_health_said');
  await shot('health');
  await tab('Plugins');
  await page.waitForTimeout(4000);
  seen.plugins = await page.locator('.plugin-item').allInnerTexts();
  await shot('plugins');
  console.log(JSON.stringify(seen));
});
