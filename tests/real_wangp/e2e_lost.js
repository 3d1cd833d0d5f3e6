// node e2e_lost.js PORT SHOTS: WanGP without its hooks; the tab says so and puts them back. One JSON
// line: the texts before and after.
const { onPage } = require('./e2e.js');
const [port, shots] = process.argv.slice(2);
onPage(port, 1200, 900, async (page) => {
  await page.getByRole('tab', { name: 'SVI needs mending' }).click();
  await page.waitForTimeout(3000);
  const told = () => page.locator('#svi_health_said').innerText();
  const before = await told();
  await page.screenshot({ path: `${shots}/lost.png` });
  await page.getByRole('button', { name: 'Put the hooks back' }).click();
  for (let i = 0; i < 60 && !/All is in place/.test(await told()); i++) await page.waitForTimeout(1000);
  await page.screenshot({ path: `${shots}/put back.png` });
  console.log(JSON.stringify({ before, after: await told() }));
});
