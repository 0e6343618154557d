import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';

const number = z.number().nonnegative();

export const GpuFact = z.strictObject({
  uuid: z.string().min(1),
  name: z.string(),
  memory_mib: number,
  used_mib: number,
  /** uncorrected errors since the last reset; null if the GPU does not count them */
  ecc_errors: number.nullable().default(null),
  /** as NVIDIA numbers its architectures; null if the driver does not tell */
  compute_capability: number.nullable().default(null),
  /** split into MIG instances */
  mig: z.boolean().default(false),
});
export type GpuFact = z.infer<typeof GpuFact>;

/** Facts of a machine, read from it or from a JSON or YAML file. Sizes are in GiB unless the name ends in `_mib`. */
export const MachineFacts = z.strictObject({
  /** Azure VM size; null if unknown */
  sku: z.string().nullable().default(null),
  vcpus: number,
  memory_gib: number,
  /** on the disk for weights and temporary files */
  free_disk_gib: number,
  driver: z.string().nullable().default(null),
  /** GPUs that this process may use, in the driver's order */
  gpus: z.array(GpuFact).default([]),
  /** why the driver lists no GPU, or not all of them */
  gpu_problem: z.string().nullable().default(null),
  /** version of vLLM; null: not installed, or unknown */
  vllm: z.string().nullable().default(null),
});
export type MachineFacts = z.infer<typeof MachineFacts>;

/** @throws Error that names the file, in one sentence or in one per bad field */
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
  if (!parsed.success) throw new Error(`the facts file ${path} is invalid:\n${z.prettifyError(parsed.error)}`);
  return parsed.data;
}
