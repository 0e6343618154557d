import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

/**
 * Parses every `.yaml` file of a folder, in the order of their names.
 * @throws Error naming the folder that cannot be read, or the file and line that is not YAML
 */
export function readYamlFolder(folder: string): { file: string; value: unknown }[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.yaml'))
    .sort()
    .map((file) => {
      const path = join(folder, file);
      try {
        return { file: path, value: parse(readFileSync(path, 'utf8')) as unknown };
      } catch (cause) {
        throw new Error(`${path} is not YAML: ${String(cause)}`, { cause });
      }
    });
}
