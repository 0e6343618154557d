// @ts-check
import { Refusal } from '../setup/refusal.mjs';
import { startedIn } from '../up/data-folder.mjs';
import { folderNamed } from '../up/options.mjs';

/**
 * The internal ports that a command asks: those of its options, or those of the start in the data folder.
 * @param {{ 'gateway-url'?: string[], 'launcher-url'?: string[], 'data-dir'?: string }} asked
 * @param {string} cwd
 * @returns {{ gateways: string[], launchers: string[] }} URLs
 * @throws Refusal if there are none
 */
export function urlsOfPrograms(asked, cwd) {
  const gateways = (asked['gateway-url'] ?? []).map((url) => internalUrl('--gateway-url', url));
  const launchers = (asked['launcher-url'] ?? []).map((url) => internalUrl('--launcher-url', url));
  if (gateways.length + launchers.length > 0) return { gateways, launchers };
  const folder = folderNamed('--data-dir', asked['data-dir'] ?? '.penstock', cwd);
  const programs = startedIn(folder);
  if (programs === undefined)
    throw new Refusal(`no penstock up uses the data folder ${folder}: set --data-dir, --gateway-url or --launcher-url`);
  if (programs.length === 0) throw new Refusal(`the start in ${folder} has no gateway yet: try again in a few seconds`);
  const urlsOf = (/** @type {boolean} */ isGateway) =>
    programs.filter(({ name }) => name.startsWith('gateway') === isGateway).map(({ url }) => url);
  return { gateways: urlsOf(true), launchers: urlsOf(false) };
}

/** @param {string} option @param {string} text */
function internalUrl(option, text) {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw new Refusal(`${option} takes a URL such as http://127.0.0.1:8081, not '${text}'`);
  return `${url.origin}${url.pathname}`.replace(/(\/status)?\/*$/, '');
}
