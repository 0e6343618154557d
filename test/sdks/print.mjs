// @ts-check
/** @typedef {{ sdk: string, surface: string, status: string, class: string, code?: string }} Error an error from an SDK */
/** @typedef {{ sdk: string, surface: string, requests: Record<string, number> }} Counted number of requests of one call, by status */

/** @param {(Error | Counted)[]} all */
export function printErrors(all) {
  const counts = all.filter((one) => 'requests' in one);
  const row = (/** @type {string[]} */ cells) =>
    console.log(cells.map((cell, column) => cell.padEnd([31, 9, 14, 27, 23, 0][column] ?? 0)).join(' '));
  row(['sdk', 'surface', 'status', 'class', 'error.code', 'requests']);
  for (const one of all) {
    if ('requests' in one) continue;
    const counted = counts.find(({ sdk, surface }) => sdk === one.sdk && surface === one.surface);
    row([
      one.sdk,
      one.surface,
      String(one.status),
      one.class,
      one.code ?? '',
      String(counted?.requests[one.status] ?? ''),
    ]);
  }
}

/** @typedef {{ client: string, version?: string, case: string, result: string, why?: string, needs?: string }} Tried a further client's result of a case */

/** A row per client with its number of met cases; then each shortfall with its reason, and the settings that clients need. @param {Tried[]} all */
export function printClients(all) {
  if (all.length === 0) return;
  const names = [...new Set(all.map(({ client }) => client))];
  const row = (/** @type {unknown[]} */ cells) =>
    console.log(cells.map((cell, column) => String(cell).padEnd([40, 48, 4, 12, 0][column] ?? 0)).join(' '));
  row(['client', 'version', 'met', 'falls short', 'failed']);
  for (const name of names) {
    const cases = all.filter(({ client }) => client === name);
    const count = (/** @type {string} */ wanted) => cases.filter(({ result }) => result === wanted).length;
    const version = cases.find((one) => one.version !== undefined)?.version;
    row([name, version, count('met'), count('falls short'), count('FAILED')]);
  }
  for (const { client, case: one, result, why = '' } of all)
    if (result !== 'met') console.log(`${result}: ${client}, ${one}${why === '' ? '' : `: ${why}`}`);
  const needs = all.filter(({ needs }) => needs !== undefined).map(({ client, needs }) => `needs: ${client}: ${needs}`);
  for (const line of new Set(needs)) console.log(line);
}
