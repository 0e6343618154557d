// @ts-check

/** Commands that a start prints for pasting into a shell. */

/**
 * @param {string | undefined} folder the start's data folder, unless it is the default
 * @returns the command that shows its status
 */
export function statusLine(folder) {
  return `npx penstock status${folder === undefined ? '' : ` --data-dir ${shellWord(folder)}`}`;
}

/**
 * Two short commands for a shell: the same request in each of two dialects.
 * Source of the second body: the sample of the model's card in the Azure model catalog.
 * @param {string} apiUrl public URL of a gateway
 * @param {string} model served model name
 * @param {boolean} needsKey the commands then read the key from the shell's PENSTOCK_KEY
 * @returns {{ chat: string, score: string }}
 */
export function firstRequests(apiUrl, model, needsKey) {
  const messages = [{ role: 'user', content: 'Say hello.' }];
  const parameters = { max_new_tokens: 24 };
  return {
    chat: curl(`${apiUrl}/v1/chat/completions`, { model, max_tokens: 24, messages }, needsKey),
    score: curl(`${apiUrl}/score`, { input_data: { input_string: messages, parameters } }, needsKey),
  };
}

/** @param {string} url @param {object} body @param {boolean} needsKey */
function curl(url, body, needsKey) {
  const key = needsKey ? ' -H "authorization: Bearer $PENSTOCK_KEY"' : '';
  return `curl ${url}${key} -H 'content-type: application/json' -d ${shellWord(JSON.stringify(body))}`;
}

/** @param {string} text @returns {string} one word of a shell, quoted if needed */
function shellWord(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
