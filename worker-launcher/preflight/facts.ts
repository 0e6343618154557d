import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';

const number = z.number().nonnegative();

export const GpuFact = z.strictObject({
  uuid: z.string().min(1),
  name: z.string(),
  memory_mib: number,
  used_mib: number,
  /** uncorrected since the last reset; null where the card counts none */
  ecc_errors: number.nullable().default(null),
  /** split into instances */
  mig: z.boolean().default(false),
});
export type GpuFact = z.infer<typeof GpuFact>;

/** What a machine is and has, as read from it or from a file in JSON or YAML. Sizes in GiB unless the name says MiB. */
export const MachineFacts = z.strictObject({
  /** Azure VM size; null when nobody says it */
  sku: z.string().nullable().default(null),
  vcpus: number,
  memory_gib: number,
  /** where weights and temporary files go */
  free_disk_gib: number,
  driver: z.string().nullable().default(null),
  /** in the driver's order, and only those that this process may use */
  gpus: z.array(GpuFact).default([]),
  /** why the driver tells of no GPU, or not of all */
  gpu_problem: z.string().nullable().default(null),
  /** version of vLLM; null: not installed, or not told */
  vllm: z.string().nullable().default(null),
});
export type MachineFacts = z.infer<typeof MachineFacts>;

/** @throws Error in one sentence, or one a bad field, naming the file */
export function readFactsFile(path: string): MachineFacts {
  let value: unknown;
  try {
    value = parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new Error(`the facts file ${path} (WORKER_FACTS_FILE or --facts) cannot be read: ${String(cause)}`, {
      cause,
    });
  }
  const parsed = MachineFacts.safeParse(value);
  if (!parsed.success) throw new Error(`the facts file ${path}:\n${z.prettifyError(parsed.error)}`);
  return parsed.data;
}
