import type { WorkerReport } from '#contract/registry';

/** Engines with these states are on their way to `ready`. */
const STARTING: readonly string[] = ['starting', 'warming'];

/** How long engines of each model take to start, as this replica saw it, and when the next one will be ready. */
export class EngineStarts {
  /** engines that start, by name. `at`: ms of the clock; undefined if it had begun before this replica looked */
  readonly #starting = new Map<string, { readonly model: string; readonly at: number | undefined }>();
  /** the last start of each model, in milliseconds */
  readonly #tookMs = new Map<string, number>();
  #hasLooked = false;

  /** @param now ms of the clock */
  look(workers: readonly WorkerReport[], now: number): void {
    const seen = new Set<string>();
    for (const { node, launcherPid, engines } of workers)
      for (const { id, model, state } of engines) {
        const name = `${node}/${launcherPid}/${id}`;
        const { at } = this.#starting.get(name) ?? {};
        if (STARTING.includes(state)) {
          seen.add(name);
          if (!this.#starting.has(name)) this.#starting.set(name, { model, at: this.#hasLooked ? now : undefined });
        } else if (state === 'ready' && at !== undefined) this.#tookMs.set(model, now - at);
      }
    for (const name of this.#starting.keys()) if (!seen.has(name)) this.#starting.delete(name);
    this.#hasLooked = true;
  }

  /** @returns ms until an engine of the model should be ready; undefined if none starts, or none was seen to start before */
  expectedMs(model: string, now: number): number | undefined {
    const tookMs = this.#tookMs.get(model);
    const begun = [...this.#starting.values()].flatMap((one) => (one.model === model ? [one.at ?? now] : []));
    if (tookMs === undefined || begun.length === 0) return undefined;
    return Math.max(0, Math.min(...begun) + tookMs - now);
  }
}
