// @ts-check
import { readOptions } from '../setup/read-options.mjs';
import { Refusal } from '../setup/refusal.mjs';
import { firstAnswer, NOT_DONE, refusedWith } from './ask-gateway.mjs';
import { LIST_OPTIONS, printList } from './gateway-list.mjs';
import { urlsOfPrograms } from './program-urls.mjs';

const WEBHOOKS_HELP = `penstock webhooks: events that report the end of background responses

  penstock webhooks list            one line each, the newest first, 1,000 at most
  penstock webhooks redeliver ID    queue one for delivery, also if it was delivered or given up

  --key ID           with list: only events of this key
  --state STATE      with list: waiting, retrying, delivered, dropped or given_up
  --json             print JSON, one object per line
  --gateway-url URL  internal port of a gateway, such as http://127.0.0.1:8081
  --data-dir DIR     data folder of penstock up, used if no URL is given   (.penstock)
  --help             print this help

penstock keys webhook says where the events of a key go. redeliver works only from the machine, or the pod, of the gateway.
Delivered events are listed for a day, those given up for 7 days, at most 10,000 of each.
Exit code 0: done; 1: there is no such event; 2: no gateway does it, or a wrong option.
`;

/** @type {import('./gateway-list.mjs').GatewayList<import('../../../gateway/webhooks/event-queue.ts').EventFacts>} */
const EVENTS = {
  path: '/webhooks',
  member: 'events',
  titles: ['id', 'key', 'type', 'state', 'created', 'attempts', 'reason'],
  cells: ({ id, key, type, state, created, attempts, reason = '' }) => [
    id,
    key,
    type,
    state,
    new Date(created * 1_000).toISOString(),
    String(attempts),
    reason,
  ],
};

/**
 * @param {readonly string[]} args arguments after `webhooks`
 * @param {import('./compiled.mjs').CommandSetup} setup
 * @returns {Promise<number>} exit code
 */
export async function webhooksCommand(args, { cwd, print, say }) {
  try {
    const { values: asked, words } = readOptions('penstock webhooks', args, LIST_OPTIONS, 2);
    const [what, id] = words;
    if (asked.help === true || what === undefined) return print(WEBHOOKS_HELP.trimEnd());
    const { gateways } = urlsOfPrograms(asked, cwd);
    if (what === 'list' && id === undefined) {
      const { key, state, json } = asked;
      return await printList(EVENTS, gateways, { query: { key, state }, json }, print);
    }
    if (what !== 'redeliver' || id === undefined || id === '')
      throw new Refusal(`'${words.join(' ')}' is not list or redeliver ID; see penstock webhooks --help`);
    const answer = await firstAnswer(gateways, `/webhooks/${encodeURIComponent(id)}/redeliver`, 'POST');
    if (!answer.ok) return refusedWith(answer, say);
    return print(
      asked.json === true ? JSON.stringify(answer.body) : `${id} is in the queue; see penstock webhooks list`,
    );
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    say(`penstock: ${error.message}`);
    return NOT_DONE;
  }
}
