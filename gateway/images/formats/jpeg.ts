import { LARGEST_WINDOW } from './base64-bytes.ts';
import type { Base64Bytes } from './base64-bytes.ts';
import { orientationOf } from './orientation.ts';
import { PictureProblem } from './picture-problem.ts';
import type { Size } from './size.ts';

/** Frames that libjpeg-turbo decodes: baseline, extended, progressive, lossless; arithmetic ones except lossless. */
const FRAMES = new Set([0xc0, 0xc1, 0xc2, 0xc3, 0xc9, 0xca]);
const LOSSLESS = 0xc3;
const [START_OF_IMAGE, END_OF_IMAGE, START_OF_SCAN, QUANTISATION, APP1] = [0xd8, 0xd9, 0xda, 0xdb, 0xe1];
/** libjpeg's JPEG_MAX_DIMENSION */
const LONGEST_SIDE = 65_500;
const END_MARK = Buffer.from([0xff, END_OF_IMAGE]);
const XMP = 'http://ns.adobe.com/xap/1.0/\0';
const CUT = 'is a JPEG picture that is cut short';

/**
 * Reads segments up to the first scan, one of which is the frame, then the end marker. Source: ITU T.81 annex B. If
 * decoders differ from it, both Pillow's JpegImagePlugin and libjpeg-turbo's jdmarker.c must agree.
 * @throws PictureProblem
 */
export async function measureJpeg(bytes: Base64Bytes): Promise<Size> {
  let frame: Frame | undefined;
  let hasTables = false;
  const exif: Buffer[] = [];
  let xmp: Buffer | undefined;
  let at = 2;
  for (;;) {
    at = await markerFrom(bytes, at);
    bytes.countPart();
    const marker = bytes.byte(at);
    at += 1;
    if (isRestart(marker)) continue;
    if (marker === END_OF_IMAGE) {
      // Tables alone are a JPEG file, and another one may follow.
      if (frame !== undefined || bytes.uint16(at) !== 0xff_00 + START_OF_IMAGE) throw new PictureProblem(CUT);
      at += 2;
      continue;
    }
    refuseUnread(marker);
    // A length below two is wrong, and decoders ignore it.
    const end = at + Math.max(bytes.uint16(at), 2);
    if (end > bytes.length) throw new PictureProblem(CUT);
    const start = at + 2;
    at = end;
    if (FRAMES.has(marker)) {
      if (frame !== undefined) throw new PictureProblem('is a JPEG picture with two frame headers');
      frame = frameAt(bytes, marker, start, end);
    } else if (marker === START_OF_SCAN) {
      if (frame === undefined) throw new PictureProblem('is a JPEG picture without a frame header before its data');
      checkScan(bytes, start, end, frame);
      if (!hasTables && !frame.isLossless)
        throw new PictureProblem('is a JPEG picture without the tables (DQT) that its data need');
      break;
    } else if (marker === APP1 && bytes.text(start, 6) === 'Exif\0\0') {
      exif.push(bytes.slice(exif.length === 0 ? start : start + 6, end));
    } else if (marker === APP1 && bytes.text(start, XMP.length) === XMP) xmp = bytes.slice(start + XMP.length, end);
    else {
      checkKnown(bytes, marker, start, end);
      hasTables ||= marker === QUANTISATION;
    }
  }
  if (!(await endsAfter(bytes, at))) throw new PictureProblem(CUT);
  return { width: frame.width, height: frame.height, orientation: orientationOf({ exif: Buffer.concat(exif), xmp }) };
}

/** @returns the position of the next marker's code, after fill bytes and data without markers */
async function markerFrom(bytes: Base64Bytes, start: number): Promise<number> {
  let at = start;
  let afterFill = false;
  while (at < bytes.length) {
    const byte = bytes.byte(at);
    if (afterFill && byte !== 0xff && byte !== 0) return at;
    afterFill = byte === 0xff;
    at += 1;
    if (bytes.isTired) await bytes.rest();
  }
  throw new PictureProblem(CUT);
}

function isRestart(marker: number): boolean {
  return marker >= 0xd0 && marker <= 0xd7;
}

/** Segments that Pillow reads, and refuses if they are shorter. */
const LEAST_BYTES: readonly (readonly [marker: number, name: string, bytes: number])[] = [
  [0xe0, 'JFIF', 7],
  [0xe2, 'ICC_PROFILE\0', 14],
  [0xee, 'Adobe', 7],
];

function checkKnown(bytes: Base64Bytes, marker: number, start: number, end: number): void {
  const isShort = LEAST_BYTES.some(
    ([known, name, least]) => marker === known && end - start < least && bytes.text(start, name.length) === name,
  );
  let table = start;
  // A table has 64 values, each of two bytes if the first four bits are not zero.
  while (marker === QUANTISATION && table < end) table += bytes.byte(table) < 16 ? 65 : 129;
  if (isShort || (marker === QUANTISATION && table !== end))
    throw new PictureProblem('is a JPEG picture with a damaged segment before its data');
}

/** With these markers, a segment's length or meaning would be unknown. */
function refuseUnread(marker: number): void {
  const isTable = [0xc4, 0xcc, START_OF_SCAN, QUANTISATION, 0xdc, 0xdd, 0xfe].includes(marker);
  if (FRAMES.has(marker) || isTable || (marker >= 0xe0 && marker <= 0xef)) return;
  const code = `FF${marker.toString(16).toUpperCase().padStart(2, '0')}`;
  throw new PictureProblem(
    marker >= 0xc0 && marker <= 0xcf
      ? `is a JPEG picture of an unsupported kind (frame ${code}); baseline and progressive are supported`
      : `is a JPEG picture with a marker (${code}) that is not allowed before its data`,
  );
}

interface Frame {
  readonly width: number;
  readonly height: number;
  readonly components: number;
  readonly isLossless: boolean;
}

function frameAt(bytes: Base64Bytes, marker: number, start: number, end: number): Frame {
  const bits = bytes.byte(start);
  if (bits !== 8) throw new PictureProblem(`is a JPEG picture with ${bits} bits a sample; only 8 are supported`);
  const height = bytes.uint16(start + 1);
  const width = bytes.uint16(start + 3);
  const components = bytes.byte(start + 5);
  if (![1, 3, 4].includes(components))
    throw new PictureProblem(`is a JPEG picture with ${components} colour components; only 1, 3 and 4 are supported`);
  let isSound = end - start === 6 + 3 * components;
  for (let index = 0; index < components; index += 1) {
    const sampling = bytes.byte(start + 7 + 3 * index);
    isSound &&= [sampling >> 4, sampling & 15].every((factor) => factor >= 1 && factor <= 4);
  }
  if (!isSound) throw new PictureProblem('is a JPEG picture with a damaged frame header');
  if (width === 0 || height === 0 || Math.max(width, height) > LONGEST_SIDE)
    throw new PictureProblem(`is a JPEG picture of ${width} by ${height} pixels; a side can have 1 to ${LONGEST_SIDE}`);
  return { width, height, components, isLossless: marker === LOSSLESS };
}

function checkScan(bytes: Base64Bytes, start: number, end: number, { components }: Frame): void {
  const inScan = bytes.byte(start);
  if (inScan < 1 || inScan > components || end - start !== 4 + 2 * inScan)
    throw new PictureProblem('is a JPEG picture with a damaged scan header');
}

/**
 * Looks for the end marker after the picture data. It cannot appear inside these data, but it can in earlier segments,
 * which hold previews. It is almost always at the very end, so the search begins there. Data after it are ignored:
 * cameras put films there.
 */
async function endsAfter(bytes: Base64Bytes, start: number): Promise<boolean> {
  let end = bytes.length;
  for (let size = 96; end > start + 1; size = LARGEST_WINDOW) {
    const from = Math.max(start, end - size);
    if (bytes.slice(from, end).includes(END_MARK)) return true;
    end = from + 1;
    if (bytes.isTired) await bytes.rest();
  }
  return false;
}
