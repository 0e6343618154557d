// @ts-check

/**
 * The servers for a client; `client-stack.ts` explains each member. Clients in other languages read the same
 * variable and print the same lines.
 * @type {import('../client-stack.ts').Served}
 */
export const served = JSON.parse(process.env['PENSTOCK_SDKS_SERVED'] ?? '{}');

/** Longer than any case on a busy machine, with the client's own pauses between retries. */
const LIMIT_MS = 60_000;
const LEFT_WITHIN_MS = 15_000;

/**
 * Runs the cases of one client, one after another, and prints a line of JSON for each: `{ client, version, case, outcome }`.
 * @param {string} client
 * @param {string} version
 * @param {Record<string, () => Promise<object>>} cases by their names in `clients.ts`; each returns its outcome
 * @param {(error: any) => object} describe a caller's view of a thrown error
 */
export async function runCases(client, version, cases, describe) {
  for (const [name, run] of Object.entries(cases)) {
    const outcome = await within(run()).catch((error) => ({ error: describe(error) }));
    process.stdout.write(`${JSON.stringify({ client, version, case: name, outcome })}\n`);
  }
}

/** @param {Promise<object>} outcome @returns {Promise<object>} */
async function within(outcome) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('no outcome within the time limit')), LIMIT_MS);
  });
  return Promise.race([outcome, late]).finally(() => clearTimeout(timer));
}

/**
 * Leaves the slow model during its answer, and waits until its engine is free. The complete answer would take longer.
 * @param {(signal: AbortSignal, something: () => void) => Promise<unknown>} ask calls `something` at the first text of a stream
 * @param {(error: any) => object} describe
 * @param {boolean} isStream
 * @returns {Promise<object>} the caller's view, and that the engine was freed
 */
export async function leaving(ask, describe, isStream) {
  const controller = new AbortController();
  /** @type {Promise<void>} */
  let came = Promise.resolve();
  /** @type {() => void} */
  let something = () => {};
  if (isStream) came = new Promise((resolve) => (something = resolve));
  const asked = ask(controller.signal, something).then(
    () => ({}),
    (error) => ({ error: describe(error) }),
  );
  await Promise.all([came, untilBusy((count) => count > 0)]);
  controller.abort();
  const seen = await asked;
  await untilBusy((count) => count === 0);
  return { ...seen, left: true };
}

/** @param {(count: number) => boolean} isSo checks the number of requests on the slow model's engines */
async function untilBusy(isSo) {
  const until = performance.now() + LEFT_WITHIN_MS;
  for (;;) {
    const { workers } = /** @type {any} */ (await (await fetch(served.status)).json());
    const engines = workers.flatMap((/** @type {any} */ { engines: all }) => all);
    const ours = engines.filter((/** @type {any} */ { model }) => model === served.slowModel);
    const count = ours.reduce((/** @type {number} */ sum, /** @type {any} */ one) => sum + one.inFlight.text, 0);
    if (isSo(count)) return;
    if (performance.now() > until) throw new Error(`the slow model's engine has ${count} requests`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/**
 * Sends a request to the hasty gateway, which gives up every attempt of it.
 * @param {() => Promise<unknown>} ask
 * @param {(error: any) => object} describe
 * @returns {Promise<object>} the caller's view, and the number of requests of its one call
 */
export async function hastily(ask, describe) {
  const before = await requestsThere();
  const seen = await ask().then(
    () => ({}),
    (error) => ({ error: describe(error) }),
  );
  return { ...seen, requests: (await requestsThere()) - before };
}

/** Number of requests that the hasty gateway has answered, once none is open. @returns {Promise<number>} */
async function requestsThere() {
  for (;;) {
    const page = await (await fetch(served.hasty.metrics)).text();
    const sum = (/** @type {string} */ name) =>
      page
        .split('\n')
        .reduce((all, line) => all + (line.startsWith(`${name}{`) ? Number(line.split(' ').at(-1)) : 0), 0);
    if (sum('penstock_requests_in_flight') === 0) return sum('gen_ai_server_request_duration_seconds_count');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The class of an error, by which its caller would recognise it. @param {any} error @returns {string} */
export function classOf(error) {
  const name = error?.constructor?.name ?? typeof error;
  return name === 'Error' || name === 'DOMException' ? error.name : name;
}
