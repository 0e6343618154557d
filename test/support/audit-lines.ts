import { existsSync, readFileSync } from 'node:fs';
import { expect } from '@jest/globals';
import { z } from 'zod';

const Line = z.looseObject({ audit: z.literal(1), time: z.iso.datetime(), program: z.string(), act: z.string() });
export type AuditLine = z.infer<typeof Line>;

/** The lines of an audit file. Each must be JSON, complete, and at most 4,096 bytes long. */
export function auditLines(file: string): AuditLine[] {
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  expect(text === '' || text.endsWith('\n')).toBe(true);
  const lines = text.split('\n').slice(0, -1);
  for (const line of lines) expect(Buffer.byteLength(line)).toBeLessThan(4_096);
  return lines.map((line) => Line.parse(JSON.parse(line)));
}
