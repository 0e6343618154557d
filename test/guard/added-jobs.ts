import type { Stand } from './stand.ts';

/** Runs an attack. @returns jobs that its requests made, without those of the streams that always run and begin again */
export async function addedJobs(stand: Stand, attack: () => Promise<void>): Promise<number> {
  const streams = await stand.streams();
  await streams.seen();
  const count = (): Promise<number> => stand.stack.metric('penstock_jobs_added_total', stand.gateway);
  const before = await count();
  await attack();
  const added = (await count()) - before;
  const { ended, failed } = await streams.seen();
  return Math.max(0, added - ended - failed);
}
