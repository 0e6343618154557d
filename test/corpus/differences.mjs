// @ts-check

/**
 * @typedef {import('./gateway-verdict.mjs').Verdict} Verdict
 * @typedef {{ name: string, gateway: Verdict, pillow: Verdict, engine: Verdict | undefined }} Difference
 */

/** @param {Verdict} verdict */
const refused = (verdict) => ('refused' in verdict ? verdict.refused : undefined);
/** @param {Verdict} one @param {Verdict | undefined} other */
const isSameSize = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/**
 * Each allowed difference between the gateway and Pillow, with its reason. None concerns a picture that both accept: except
 * with EXIF that no program writes, their sizes are equal.
 * @type {readonly (readonly [reason: string, applies: (difference: Difference) => boolean])[]}
 */
const REASONS = [
  [
    'damage in or behind the picture data, which unpacking alone tells; vLLM serves what there is, in the size that is measured',
    ({ gateway, engine }) => isSameSize(gateway, engine),
  ],
  [
    'the picture data of a WebP are damaged, which unpacking them alone tells; vLLM answers 400',
    ({ name, gateway, pillow }) =>
      /^(flipped|contradicts)\/.*\.webp$/.test(name) &&
      refused(gateway) === undefined &&
      /failed to read next frame/.test(refused(pillow) ?? ''),
  ],
  [
    'the picture data are fewer than the size needs, which unpacking them alone tells; vLLM answers 400',
    ({ name, gateway, pillow }) =>
      /^(flipped|contradicts)\//.test(name) &&
      refused(gateway) === undefined &&
      /image file is truncated/.test(refused(pillow) ?? ''),
  ],
  [
    'a profile or text of more than 1 MB once unpacked: unpacking each would cost more than the picture; vLLM answers 400',
    ({ name, gateway, pillow }) =>
      name.endsWith('.png') && refused(gateway) === undefined && /MAX_TEXT_CHUNK/.test(refused(pillow) ?? ''),
  ],
  [
    'EXIF whose tags have types of other tags: Pillow cannot write it back and so turns nothing',
    ({ name, gateway, pillow }) =>
      name.startsWith('metadata/exif-numbers-as-text') &&
      refused(gateway) === undefined &&
      refused(pillow) === undefined,
  ],
  [
    'damage in the picture data, which unpacking alone tells: vLLM serves what there is, but does not turn it',
    ({ name, gateway, engine }) =>
      name.includes('exif-before-damaged-data') && refused(gateway) === undefined && engine !== undefined,
  ],
  [
    'a GIF whose last block goes on beyond the file: whether the blocks before are all is not known without unpacking',
    ({ name, gateway }) =>
      /^(contradicts\/gif\/data-|flipped\/.*\.gif$)/.test(name) &&
      /GIF picture that is cut short/.test(refused(gateway) ?? ''),
  ],
  [
    'more chunks or blocks than a picture of that size can need; walking them would take too long',
    ({ name, gateway }) => name.includes('by-the-million') && /more than 200000 parts/.test(refused(gateway) ?? ''),
  ],
  [
    'a JPEG whose end is missing, with other bytes behind: Pillow takes those for the rest of the picture',
    ({ name, gateway }) =>
      name.endsWith('end-missing-with-zeros.jpg') && /JPEG picture that is cut short/.test(refused(gateway) ?? ''),
  ],
  [
    'PNG data in a chunk that goes on beyond the file, or in two places: whether the first bytes are all is not known without unpacking',
    ({ name, gateway }) =>
      /^(contradicts\/png\/data-|flipped\/.*\.png$|cut\/.*\.png$)/.test(name) &&
      /PNG picture (that is cut short|whose picture data are interrupted by another chunk)/.test(
        refused(gateway) ?? '',
      ),
  ],
];
const used = new Set();

/** @param {Difference} difference @returns {string | undefined} undefined if it is not listed */
export function reasonOf(difference) {
  const found = REASONS.find(([, applies]) => applies(difference));
  used.add(found?.[0]);
  return found?.[0];
}

/** Reasons that apply to no file. @returns {string[]} */
export function unusedReasons() {
  return REASONS.map(([reason]) => reason).filter((reason) => !used.has(reason));
}
