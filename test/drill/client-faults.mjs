// @ts-check
import { runDrill } from './drill.mjs';
import { pause, until } from './processes.mjs';
import { question } from './questions.mjs';
import { RawClient } from './raw-client.mjs';

/** @typedef {import('./drill.mjs').Drill} Drill @typedef {import('./drill.mjs').Scene} Scene */

const LIMIT_MS = 60_000;
/** Far longer than a drill, so that the work of a client that leaves early remains unless it is stopped. */
const LONG = 4_000;

/** @param {Scene} scene */
function portOf({ stack }) {
  return stack.gateways[0]?.port ?? 0;
}

/** A long answer to a client that leaves early. @param {Scene} scene @param {number} number */
function longQuestion(scene, number) {
  const { path, kind, body } = question(number, LONG);
  const lasting = kind === 'score' ? body : { ...body, ignore_eos: true };
  return new RawClient(portOf(scene), path, lasting);
}

/** @type {Drill} */
const notReading = {
  name: 'client-not-reading',
  about: 'clients that stop reading their streams, besides normal ones',
  run: (setup) =>
    runDrill(setup, {
      stack: { gatewayEnv: { GATEWAY_SLOW_CLIENT_BYTES: '65536' }, workerEnv: { PENSTOCK_SIM_ITL_MS: '5' } },
      fault: async (scene) => {
        const clients = setup.short ? 3 : 10;
        const { path, body } = question(0, LONG, 'stream');
        // Large events, because the kernel's own buffers hold some megabytes.
        const large = { ...body, ignore_eos: true, logprobs: true, top_logprobs: 20 };
        const stalled = Array.from({ length: clients }, () => new RawClient(portOf(scene), path, large));
        try {
          await Promise.all(stalled.map((client) => client.send({ reads: false })));
          const load = scene.load({ everyMs: 6_000 / setup.requests });
          await load.ended;
          const startedAt = performance.now();
          await scene.stack.quiet(LIMIT_MS).catch(({ message }) => scene.check(false, message));
          const givenUp = () => (scene.stack.gateways[0]?.output().split('"outcome":"client_closed"').length ?? 1) - 1;
          await until('the log has them', () => givenUp() >= clients, LIMIT_MS).catch(() => {});
          scene.check(givenUp() === clients, `${givenUp()} of ${clients} stalled clients were given up`);
          scene.note(
            `${clients} stalled clients were given up, ${Math.round(performance.now() - startedAt)} ms after the others`,
          );
        } finally {
          for (const client of stalled) client.leave();
        }
      },
    }),
};

/** @type {Drill} */
const leaving = {
  name: 'clients-leaving',
  about:
    'clients that leave at random bytes of their request and of the answer, by FIN and by RST, besides normal ones',
  run: (setup) =>
    runDrill(setup, {
      fault: async (scene) => {
        const load = scene.load();
        let left = 0;
        for (let number = 0; number < setup.requests / 2; number += 1) {
          const client = longQuestion(scene, number);
          const isEarly = number % 4 === 3;
          await client.send(isEarly ? { upTo: Math.floor(Math.random() * client.requestBytes) } : {});
          // Answers that are not streamed are silent for long, so those clients leave after a fixed time.
          if (!isEarly) await client.has(1 + Math.floor(Math.random() * 4_000), 300).catch(() => {});
          if (number % 2 === 0) client.leave();
          else client.reset();
          left += 1;
        }
        await load.ended;
        scene.note(`${left} clients left`);
        const { sent, complete } = load.ledger.row;
        scene.check(sent === complete, `${sent - complete} of ${sent} others were not answered`);
      },
    }),
};

/** @type {Drill} */
const controlLost = {
  name: 'control-message-lost',
  about: 'the Pub/Sub connections are killed just before clients hang up',
  run: (setup) =>
    runDrill(setup, {
      fault: async (scene) => {
        const load = scene.load();
        const leavers = Array.from({ length: setup.short ? 4 : 20 }, (_, number) => longQuestion(scene, number));
        await Promise.all(leavers.map((client) => client.send()));
        const isTaken = async () => (await running(scene)) >= leavers.length;
        await until('all are on the engine', isTaken, LIMIT_MS);
        for (const client of leavers) {
          await scene.stack.redis.client.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
          client.leave();
          await pause(100);
        }
        await load.ended;
        const { sent, complete } = load.ledger.row;
        scene.check(sent === complete, `${sent - complete} of ${sent} others were not answered`);
        scene.note(`${leavers.length} hang-ups whose message was lost`);
      },
    }),
};

/** @param {Scene} scene */
async function running({ stack }) {
  return (await stack.engines()).reduce((sum, { inFlight }) => sum + inFlight.text + inFlight.image, 0);
}

export const CLIENT_DRILLS = [notReading, leaving, controlLost];
