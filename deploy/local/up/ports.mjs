// @ts-check
import { createServer } from 'node:net';
import { Refusal, reasonOf } from '../setup/refusal.mjs';

/**
 * @typedef {object} PortPlan
 * @property {{ public: number, internal: number }[]} gateways
 * @property {{ internal: number }[]} launchers
 */

/**
 * The first gateway takes P and P+1, the first worker-launcher P+2; the further gateways the next two each, then the
 * further launchers the next one each. So the three ports of the plain start never move when more processes are asked.
 * @param {{ port: number, gateways: number, launchers: number }} asked
 * @returns {PortPlan}
 * @throws Refusal when the row would pass port 65535
 */
export function planPorts({ port, gateways, launchers }) {
  const last = port + 2 * gateways + launchers - 1;
  if (last > 65_535) throw new Refusal(`--port ${port} leaves no room for ${last - port + 1} ports in a row`);
  /** @type {PortPlan} */
  const plan = { gateways: [{ public: port, internal: port + 1 }], launchers: [{ internal: port + 2 }] };
  let next = port + 3;
  for (let n = 1; n < gateways; n += 1, next += 2) plan.gateways.push({ public: next, internal: next + 1 });
  for (let n = 1; n < launchers; n += 1, next += 1) plan.launchers.push({ internal: next });
  return plan;
}

/**
 * Binds and leaves every port of the plan.
 * @param {PortPlan} plan
 * @param {{ public: string, gatewayInternal: string, launcherInternal: string }} hosts addresses to bind
 * @throws Refusal naming the first port that cannot be had, and what for
 */
export async function checkPorts(plan, hosts) {
  for (const gateway of plan.gateways) {
    await checkPort(gateway.public, hosts.public, 'the public API of a gateway');
    await checkPort(gateway.internal, hosts.gatewayInternal, 'the internal port of a gateway');
  }
  for (const launcher of plan.launchers) {
    await checkPort(launcher.internal, hosts.launcherInternal, 'the internal port of a worker-launcher');
  }
}

/**
 * A port of loopback that was free a moment ago.
 * @returns {Promise<number>}
 */
export async function freePort() {
  return bindOnce(0, '127.0.0.1');
}

/** @param {number} port @param {string} host @param {string} purpose */
async function checkPort(port, host, purpose) {
  try {
    await bindOnce(port, host);
  } catch (error) {
    const taken = reasonOf(error).includes('EADDRINUSE');
    const what = taken ? 'is taken' : `on ${host} cannot be had (${reasonOf(error)})`;
    throw new Refusal(`port ${port}, meant for ${purpose}, ${what}; choose others with --port`);
  }
}

/** @param {number} port @param {string} host @returns {Promise<number>} */
function bindOnce(port, host) {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ port, host, exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : port));
    });
  });
}
