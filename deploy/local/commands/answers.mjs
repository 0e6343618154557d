// @ts-check
import { firstAnswer, NOT_DONE, refusedWith } from './ask-gateway.mjs';
import { readOptions, TEXT } from '../setup/read-options.mjs';
import { Refusal } from '../setup/refusal.mjs';
import { inColumns } from './columns.mjs';
import { LIST_OPTIONS, printList } from './gateway-list.mjs';
import { urlsOfPrograms } from './program-urls.mjs';

const ANSWERS_HELP = `penstock answers: the responses that callers asked to keep, without their words

  penstock answers list          one line each, the newest first
  penstock answers show ID       what is known of one
  penstock answers cancel ID     end one that runs, for good
  penstock answers delete ID     cancel and remove one

  --key ID           with list: only answers of this key
  --model M          with list: only this model
  --state STATE      with list: queued, running, completed, incomplete, failed or cancelled
  --json             print JSON, one object per line
  --gateway-url URL  internal port of a gateway, such as http://127.0.0.1:8081
  --data-dir DIR     data folder of penstock up, used if no URL is given   (.penstock)
  --help             print this help

cancel and delete work only from the machine, or the pod, of the gateway.
Exit code 0: done; 1: there is no such answer; 2: no gateway does it, or a wrong option.
`;

const OPTIONS = { ...LIST_OPTIONS, model: TEXT };
/** @type {import('./gateway-list.mjs').GatewayList<import('../../../gateway/durable/answer-facts.ts').AnswerFacts>} */
const ANSWERS = {
  path: '/answers',
  member: 'answers',
  titles: ['id', 'key', 'model', 'state', 'created', 'kept'],
  cells: ({ id, key, model, state, created, background, store }) => {
    const kept = [...(background ? ['background'] : []), ...(store ? ['store'] : [])].join(', ');
    return [id, key, model, state, new Date(created * 1_000).toISOString(), kept];
  },
};

/** Method and end of the path of what is done to one answer. */
const ACTIONS = new Map([
  ['show', { method: 'GET', path: '' }],
  ['cancel', { method: 'POST', path: '/cancel' }],
  ['delete', { method: 'DELETE', path: '' }],
]);

/**
 * @param {readonly string[]} args arguments after `answers`
 * @param {import('./compiled.mjs').CommandSetup} setup
 * @returns {Promise<number>} exit code
 */
export async function answersCommand(args, { cwd, print, say }) {
  try {
    const { values: asked, words } = readOptions('penstock answers', args, OPTIONS, 2);
    const [what, id] = words;
    if (asked.help === true || what === undefined) return print(ANSWERS_HELP.trimEnd());
    const { gateways } = urlsOfPrograms(asked, cwd);
    if (what === 'list' && id === undefined) {
      const { key, model, state, json } = asked;
      return await printList(ANSWERS, gateways, { query: { key, model, state }, json }, print);
    }
    const action = ACTIONS.get(what);
    if (action === undefined || id === undefined || id === '')
      throw new Refusal(
        `'${words.join(' ')}' is not list, show ID, cancel ID or delete ID; see penstock answers --help`,
      );
    const answer = await firstAnswer(gateways, `/answers/${encodeURIComponent(id)}${action.path}`, action.method);
    if (!answer.ok) return refusedWith(answer, say);
    print(asked.json === true ? JSON.stringify(answer.body) : facts(answer.body));
    return 0;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    say(`penstock: ${error.message}`);
    return NOT_DONE;
  }
}

/** @param {unknown} body */
function facts(body) {
  const entries = typeof body === 'object' && body !== null ? Object.entries(body) : [];
  return inColumns(
    entries.map(([name, value]) => [name, String(value)]),
    2,
  );
}
