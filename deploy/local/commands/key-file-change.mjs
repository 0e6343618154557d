// @ts-check
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { Refusal, reasonOf } from '../setup/refusal.mjs';
import { compiled } from './compiled.mjs';

/**
 * @typedef {import('../../../gateway/runtime/audit.ts').Act} Act
 * @typedef {object} KeyAudit records what becomes of a change
 * @property {(before: string, after: string) => void} done takes the texts of the file
 * @property {(act: Pick<Act, 'act' | 'what'>, why: string) => void} refused
 */

/**
 * The audit of key commands. The file is opened before a change, so that no change goes unrecorded.
 * @param {string | undefined} named by an option
 * @param {import('./compiled.mjs').CommandSetup} setup
 * @returns {Promise<KeyAudit | undefined>} undefined: no audit is wanted
 * @throws Refusal if it cannot be written
 */
export async function auditOf(named, setup) {
  const place = named ?? setup.env['GATEWAY_AUDIT_FILE'];
  if (!place) return undefined;
  const { Audit, createAudit, thisUser } = /** @type {typeof import('../../../gateway/runtime/audit.ts')} */ (
    await compiled('gateway/runtime/audit.js', setup)
  );
  const { changesBetween } = /** @type {typeof import('../../../gateway/keys/key-changes.ts')} */ (
    await compiled('gateway/keys/key-changes.js', setup)
  );
  const { parseKeyFile } = /** @type {typeof import('../../../gateway/keys/key-file.ts')} */ (
    await compiled('gateway/keys/key-file.js', setup)
  );
  const program = 'penstock keys';
  // standard output has the key alone
  const onTerminal = { write: (/** @type {string} */ line) => void setup.say(line.trimEnd()), lost: () => 0 };
  const log = { error: () => void setup.say('penstock: the audit line could not be written') };
  const asFile = { place: resolve(setup.cwd, place), setting: '--audit-file or GATEWAY_AUDIT_FILE', log };
  const audit = place === '-' ? new Audit(program, onTerminal, false) : sentenceOf(() => createAudit(program, asFile));
  const who = thisUser();
  return {
    done: (before, after) => {
      for (const change of changesBetween(parseKeyFile(before), parseKeyFile(after)))
        audit.record({ ...change, who, result: 'done' });
    },
    refused: (act, why) => audit.record({ ...act, who, result: 'refused', why }),
  };
}

/**
 * Replaces the entire file, readable by its owner only. The new file is created before the old one is read, so that it is
 * a lock against concurrent changes.
 * @param {string} file
 * @param {Pick<Act, 'act' | 'what'>} act what was asked for
 * @param {KeyAudit | undefined} audit
 * @param {(text: string) => string} edit
 */
export function change(file, act, audit, edit) {
  const next = join(dirname(file), `.${basename(file)}.new`);
  let descriptor;
  try {
    descriptor = openSync(next, 'wx', 0o600);
  } catch (error) {
    const taken = /** @type {NodeJS.ErrnoException} */ (error).code === 'EEXIST';
    throw new Refusal(
      taken
        ? `${next} exists: another penstock keys is running or was interrupted; if none is running, remove that file`
        : `${file}: ${reasonOf(error)}`,
    );
  }
  try {
    const before = existsSync(file) ? readFileSync(file, 'utf8') : '';
    const after = sentence(file, () => edit(before));
    writeSync(descriptor, after);
    fsyncSync(descriptor);
    renameSync(next, file);
    audit?.done(before, after);
  } catch (error) {
    rmSync(next, { force: true });
    audit?.refused(act, reasonOf(error));
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

/** @template T @param {string} file @param {() => T} work @returns {T} */
export function sentence(file, work) {
  try {
    return work();
  } catch (error) {
    throw new Refusal(`${file}: ${reasonOf(error)}`);
  }
}

/** @template T @param {() => T} work @returns {T} */
function sentenceOf(work) {
  try {
    return work();
  } catch (error) {
    throw new Refusal(reasonOf(error).replace(/^bad configuration\s*/, ''));
  }
}
