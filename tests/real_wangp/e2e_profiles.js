// node e2e_profiles.js PORT SHOTS PLAN.json: on the real page, choose each profile, press Apply, and
// read every field back. PLAN is [{choose: [family, model, variant], profiles: [{name, shot}]}], the
// first three being regular expressions for the page's model dropdowns. Prints one JSON line.
const fs = require('fs');
const { apply, onPage, pick, visible } = require('./e2e.js');
const [port, shots, plan] = process.argv.slice(2);
onPage(port, 1500, 2200, async (page) => {
  const read = () => page.evaluate(() => {
    const found = {};
    for (const block of document.querySelectorAll('div.block')) {
      if (block.querySelector('div.block')) continue;
      const title = block.querySelector('span[data-testid=block-info], label, span');
      const field = block.querySelector('input[type=number], textarea, input[role=listbox], input[type=text]');
      const key = title ? title.textContent.trim() : '';
      if (field && key && !(key in found)) found[key] = field.value;
    }
    return found;
  });
  const results = [];
  for (const { choose, profiles } of JSON.parse(fs.readFileSync(plan))) {
    for (let i = 0; i < choose.length; i++) {
      await pick(page, (await visible(page, 'input[role=listbox]'))[i], new RegExp(choose[i]));
      await page.waitForTimeout(8000);
    }
    const advanced = page.getByLabel('Advanced Mode').first();
    if (!await advanced.isChecked()) await advanced.click();
    await page.waitForTimeout(4000);
    for (const { name, shot } of profiles) {
      const options = await apply(page, name);
      const toast = page.locator('[data-testid=toast-body]').first();
      await toast.waitFor({ timeout: 20000 }).catch(() => null);
      const told = await page.$$eval('[data-testid=toast-body]', (t) => t.map((x) => x.innerText));
      for (let i = 0, last = ''; i < 20; i++) {  // events follow each other: until nothing changes
        await page.waitForTimeout(4000);
        const now = JSON.stringify(await read());
        if (now === last) break;
        last = now;
      }
      let fields = {};
      for (const tab of ['General', 'LoRAs', 'Sliding Window']) {
        await page.getByRole('tab', { name: tab }).first().click();
        await page.waitForTimeout(1200);
        fields = { ...await read(), ...fields };
        if (shot && tab === 'General') await page.screenshot({ path: `${shots}/${shot}.png`, fullPage: true });
      }
      results.push({ name, options, told, fields });
      console.error(`${name} applied`);
    }
  }
  console.log(JSON.stringify(results));
});
