import { readFileSync } from 'node:fs';

/**
 * Reads the text of a file that a setting names, such as a password.
 * @throws Error in one sentence that names the setting and the file, and never its content
 */
export function readSettingFile(setting: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw cannotBeRead(setting, path, cause);
  }
}

/** One sentence about a file or folder that a setting names. */
export function cannotBeRead(setting: string, path: string, cause: unknown): Error {
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : 'unreadable';
  return new Error(`bad configuration\n  ${setting}: ${path} cannot be read (${code})`, { cause });
}

/** Reads the text of a file without the line end that an editor or `echo` leaves. */
export function readSecretFile(setting: string, path: string): string {
  return readSettingFile(setting, path).replace(/\r?\n$/, '');
}
