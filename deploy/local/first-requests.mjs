// @ts-check

/** A red disc on white, 32 by 32 pixels. */
const PICTURE =
  'data:image/png;base64,' +
  'iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAW0lEQVR42mP4T2PAMGrBkLHghIAeGqKOBZjmkmoTA4WmE7SDgXLT8dvBQBXT8djB' +
  'QC3Tcdkx/CygxHSsdoxaMAItGM1og6Kwo0dxTY8Khx5VJj0q/dGG13CwAAA+UwII6biQTwAAAABJRU5ErkJggg==';

/**
 * Two commands to paste into a shell: one question about a picture, in each of the two dialects.
 * Source of the second body: the sample of the model's card in the Azure model catalog.
 * @param {string} apiUrl public URL of a gateway
 * @param {string} model name that the gateway serves
 * @param {boolean} needsKey the commands then take it from the shell's PENSTOCK_KEY
 * @returns {{ chat: string, score: string }}
 */
export function firstRequests(apiUrl, model, needsKey) {
  const content = [
    { type: 'image_url', image_url: { url: PICTURE } },
    { type: 'text', text: 'What is shown in this image?' },
  ];
  const messages = [{ role: 'user', content }];
  const parameters = { temperature: 0.7, max_new_tokens: 200 };
  return {
    chat: curl(`${apiUrl}/v1/chat/completions`, { model, max_tokens: 200, messages }, needsKey),
    score: curl(`${apiUrl}/score`, { input_data: { input_string: messages, parameters } }, needsKey),
  };
}

/** @param {string} url @param {object} body @param {boolean} needsKey */
function curl(url, body, needsKey) {
  const quoted = JSON.stringify(body).replaceAll("'", `'\\''`);
  const key = needsKey ? ' -H "authorization: Bearer $PENSTOCK_KEY"' : '';
  return `curl ${url}${key} -H 'content-type: application/json' -d '${quoted}'`;
}
