// @ts-check
import { answers } from './answer-drill.mjs';
import { runDrill } from './drill.mjs';
import { CLIENT_DRILLS } from './client-faults.mjs';
import { ENGINE_DRILLS } from './engine-faults.mjs';
import { GATEWAY_DRILLS } from './gateway-faults.mjs';
import { hangUps } from './hang-ups.mjs';
import { REDIS_DRILLS } from './redis-faults.mjs';
import { WORKER_DRILLS } from './worker-faults.mjs';

/** @type {import('./drill.mjs').Drill} */
const undisturbed = {
  name: 'undisturbed',
  about: 'no fault: every request must be answered, else the drills measure themselves',
  run: (setup) =>
    runDrill(setup, {
      stack: { gateways: 2, launchers: 2 },
      fault: async (scene) => {
        const load = scene.load();
        await load.ended;
        const { complete, sent } = load.ledger.row;
        scene.check(complete === sent, `${complete} of ${sent} answered`);
      },
    }),
};

/** Every drill, in running order. @type {readonly import('./drill.mjs').Drill[]} */
export const DRILLS = [
  undisturbed,
  ...ENGINE_DRILLS,
  ...WORKER_DRILLS,
  ...GATEWAY_DRILLS,
  answers,
  ...REDIS_DRILLS,
  ...CLIENT_DRILLS,
  hangUps,
];
