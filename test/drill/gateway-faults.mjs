// @ts-check
import { runDrill } from './drill.mjs';
import { until } from './processes.mjs';
import { startClients } from './sdk-clients.mjs';
import { startBalancer } from './tcp-proxy.mjs';

/** @typedef {import('./drill.mjs').Drill} Drill @typedef {import('./drill.mjs').Scene} Scene */

const READY_WITHIN_MS = 90_000;
/** Twice the SDK's idle time: on a busy machine the SDK may otherwise choose a connection just as it is closed. */
const DELAY_MS = '9000';
const CLIENTS = { short: 8, full: 32 };

/** @param {Scene} scene */
async function balancerOf({ stack }) {
  const balancer = await startBalancer(() => stack.gateways);
  return { ...balancer, url: `http://127.0.0.1:${balancer.port}` };
}

/** @type {Drill} */
const killed = {
  name: 'gateway-killed',
  about: 'kill -9 of one of two gateways; its own clients see only a broken connection',
  run: (setup) =>
    runDrill(setup, {
      isFelt: true,
      stack: { gateways: 2 },
      fault: async (scene) => {
        const balancer = await balancerOf(scene);
        try {
          const load = scene.load({ url: () => balancer.url, brokenIsError: true });
          await load.underWay(setup.requests / 3);
          scene.stack.gateways[0]?.signal('SIGKILL');
          await load.ended;
        } finally {
          await balancer.stop();
        }
      },
    }),
};

/**
 * Two gateways and two launchers are replaced one after another, under SDK clients without retries.
 * @param {import('./drill.mjs').Setup} setup @param {import('./stack.mjs').StackOptions} [options]
 * @param {number} [retries] of clients
 */
export function rollingRestart(setup, options = {}, retries = 0) {
  return runDrill(setup, {
    stack: { gateways: 2, launchers: 2, gatewayEnv: { GATEWAY_DRAIN_DELAY_MS: DELAY_MS }, ...options },
    fault: async (scene) => {
      const { stack } = scene;
      const balancer = await balancerOf(scene);
      const count = CLIENTS[setup.short ? 'short' : 'full'];
      const clients = startClients(balancer.url, count, setup.oracle, retries);
      scene.loads.push(clients);
      try {
        await clients.underWay(count);
        for (const gateway of stack.gateways.slice(0, 2)) {
          gateway.signal('SIGTERM');
          await gateway.exited;
          await stack.startGateway();
          await until('two gateways are ready', () => balancer.ready() === 2, READY_WITHIN_MS);
        }
        for (const launcher of stack.launchers.slice(0, 2)) {
          launcher.signal('SIGTERM');
          await launcher.exited;
          await stack.startLauncher();
          await stack.ready(2);
        }
        await clients.stop();
        const { sent, complete } = clients.ledger.row;
        scene.note(`${sent - complete} of ${sent} requests failed`);
        scene.check(sent === complete, `${sent - complete} of ${sent} requests failed`);
      } finally {
        await clients.stop();
        await balancer.stop();
      }
    },
  });
}

/** @type {Drill} */
const rolled = {
  name: 'rolling-restart',
  about: 'two gateways and two launchers restarted one after another, under SDK clients without retries',
  run: (setup) => rollingRestart(setup),
};

export const GATEWAY_DRILLS = [killed, rolled];
