import type { z } from 'zod';

/** What another process wrote. @returns undefined for what is no JSON, or not what is expected: it concerns nobody else */
export function readJson<T>(schema: z.ZodType<T>, text: string): T | undefined {
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
