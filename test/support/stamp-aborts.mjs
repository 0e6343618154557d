// @ts-check
/**
 * Loaded before the simulator: writes the instant of each received and each aborted request to the file that
 * PENSTOCK_STAMPS_FILE names, one per line: `<ns of the machine's monotonic clock> <the simulator's text>`.
 */
import { appendFileSync } from 'node:fs';

const file = process.env['PENSTOCK_STAMPS_FILE'] ?? '';
const write = process.stdout.write.bind(process.stdout);

/** @param {unknown[]} args */
function stamped(...args) {
  const said = /(?:Received|Aborted) request(?:\(s\))? \S+/.exec(String(args[0]));
  if (said !== null) appendFileSync(file, `${process.hrtime.bigint()} ${said[0]}\n`);
  return Reflect.apply(write, process.stdout, args);
}
process.stdout.write = /** @type {typeof process.stdout.write} */ (stamped);
