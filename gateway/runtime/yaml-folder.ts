import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { cannotBeRead, readSettingFile } from './setting-file.ts';

interface YamlFile {
  readonly file: string;
  readonly value: unknown;
  /** of the file's text, as `sha256sum` prints it */
  readonly sha256: string;
}

/**
 * Parses every `.yaml` file of a folder, in the order of the file names.
 * @param setting the setting that names the folder, for the errors
 * @throws Error that names the unreadable folder, or the file and line that is not YAML
 */
export function readYamlFolder(folder: string, setting = 'folder'): YamlFile[] {
  return namesIn(folder, setting)
    .filter((name) => name.endsWith('.yaml'))
    .sort()
    .map((file) => {
      const path = join(folder, file);
      const text = readSettingFile(setting, path);
      try {
        const sha256 = createHash('sha256').update(text).digest('hex');
        return { file: path, value: parse(text) as unknown, sha256 };
      } catch (cause) {
        throw new Error(`${path} is not YAML: ${String(cause)}`, { cause });
      }
    });
}

function namesIn(folder: string, setting: string): string[] {
  try {
    return readdirSync(folder);
  } catch (cause) {
    throw cannotBeRead(setting, folder, cause);
  }
}
