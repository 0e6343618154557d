import type { z } from 'zod';

/** Parses what another process wrote. @returns undefined for invalid JSON or an unexpected shape */
export function readJson<T>(schema: z.ZodType<T>, text: string): T | undefined {
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
