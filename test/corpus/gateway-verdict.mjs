// @ts-check
import { readFileSync } from 'node:fs';

/** @param {string} name @returns {Promise<any>} a compiled module of the gateway */
const compiled = (name) => import(new URL(`../../dist/gateway/images/formats/${name}.js`, import.meta.url).href);
/** @type {typeof import('../../gateway/images/formats/base64-bytes.ts')} */
const { Base64Bytes } = await compiled('base64-bytes');
/** @type {typeof import('../../gateway/images/formats/measure.ts')} */
const { measurePicture } = await compiled('measure');

/** @typedef {{ type: string, width: number, height: number } | { refused: string }} Verdict */

/**
 * The gateway's verdict on each file, from its bytes as base64.
 * @param {readonly string[]} files
 * @param {number} limitPixels
 * @returns {Promise<Verdict[]>}
 * @throws every error that is not a refusal
 */
export async function gatewayVerdicts(files, limitPixels) {
  const verdicts = [];
  for (const file of files) verdicts.push(await verdictOn(readFileSync(file), limitPixels));
  return verdicts;
}

/** @param {Buffer} data @param {number} limitPixels @returns {Promise<Verdict>} */
async function verdictOn(data, limitPixels) {
  const base64 = Buffer.from(data.toString('base64'), 'latin1');
  try {
    const bytes = new Base64Bytes(base64, data.length, new AbortController().signal);
    const { type, width, height } = await measurePicture(bytes, 'it');
    const pixels = width * height;
    return pixels > limitPixels ? { refused: `${pixels} pixels` } : { type, width, height };
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'invalid_image')) throw error;
    return { refused: error.message };
  }
}
