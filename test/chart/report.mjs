// @ts-check

/** Counts and prints results. A check that could not run is listed with its reason and not counted. */
export class Report {
  passed = 0;
  failed = 0;
  /** @type {string[]} */
  notRun = [];

  /** @param {(line: string) => void} say */
  constructor(say) {
    this.say = say;
  }

  /**
   * Runs a check, which throws on failure.
   * @param {string} name
   * @param {() => Promise<void | number> | void | number} run returns the number of its tests, if more than one
   */
  async check(name, run) {
    const startedAt = performance.now();
    try {
      const count = (await run()) ?? 1;
      this.passed += count;
      this.say(`ok      ${name}${count === 1 ? '' : `: ${count}`} (${seconds(startedAt)})`);
    } catch (error) {
      this.failed += 1;
      const reason = error instanceof Error ? error.message : String(error);
      this.say(`FAILED  ${name} (${seconds(startedAt)})\n${reason.replaceAll(/^/gm, '        ')}`);
    }
  }

  /** @param {string} name @param {string} reason */
  skip(name, reason) {
    this.notRun.push(`${name}: ${reason}`);
    this.say(`not run ${name}: ${reason}`);
  }
}

/** @param {number} since */
const seconds = (since) => `${((performance.now() - since) / 1_000).toFixed(1)} s`;
