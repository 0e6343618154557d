// @ts-check
import { createServer } from 'node:net';
import { Refusal, reasonOf } from '../setup/refusal.mjs';

/**
 * @typedef {object} PortPlan
 * @property {{ public: number, internal: number }[]} gateways
 * @property {{ internal: number }[]} launchers
 */

/**
 * The first gateway gets ports P and P+1, the first worker-launcher P+2. Each further gateway gets the next two, then each
 * further launcher the next one. So the first three ports stay the same, whatever the number of processes.
 * @param {{ port: number, gateways: number, launchers: number }} asked
 * @returns {PortPlan}
 * @throws Refusal when a port would be above 65535
 */
export function planPorts({ port, gateways, launchers }) {
  const last = port + 2 * gateways + launchers - 1;
  if (last > 65_535)
    throw new Refusal(`--port ${port} is too high: ${last - port + 1} consecutive ports up to 65535 are needed`);
  /** @type {PortPlan} */
  const plan = { gateways: [{ public: port, internal: port + 1 }], launchers: [{ internal: port + 2 }] };
  let next = port + 3;
  for (let n = 1; n < gateways; n += 1, next += 2) plan.gateways.push({ public: next, internal: next + 1 });
  for (let n = 1; n < launchers; n += 1, next += 1) plan.launchers.push({ internal: next });
  return plan;
}

/**
 * Checks that every port of the plan is free, by binding it.
 * @param {PortPlan} plan
 * @param {{ public: string, gatewayInternal: string, launcherInternal: string }} hosts addresses to bind
 * @throws Refusal that names the first port that cannot be bound, and its purpose
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
 * A loopback port that is free at this moment.
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
    const problem = taken ? 'is in use' : `on ${host} cannot be bound (${reasonOf(error)})`;
    throw new Refusal(
      `port ${port} for ${purpose} ${problem}; choose other ports with --port, such as --port 8180 (in a checkout: npm start -- --port 8180)`,
    );
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
