/** Metadata of a picture that can turn it, as far as they were found. */
export interface TurningData {
  /** a TIFF file, with or without `Exif` and two zero bytes before it */
  readonly exif?: Buffer | undefined;
  readonly xmp?: Buffer | undefined;
}

const ORIENTATION = 0x01_12;
/** Bytes of one value of each type (source: TIFF 6.0 section 2; 13 and 16 from its supplements). */
const VALUE_BYTES = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8];

/** Orientations 5 to 8 change width and height (source: Exif 2.3, tag 274). */
export function isTurned(orientation: number): boolean {
  return [5, 6, 7, 8].includes(orientation);
}

/**
 * Reads the orientation as Pillow does, which differs from the standards. A damaged EXIF turns nothing. XMP counts only
 * if a sound EXIF has no orientation. A number of any type counts. Source: Pillow 13.0, Image.getexif and
 * TiffImagePlugin.
 * @returns 1 if nothing is turned
 */
export function orientationOf({ exif, xmp }: TurningData): number {
  const tiff = exif === undefined ? Buffer.alloc(0) : withoutName(exif);
  if (tiff.length > 0) {
    const found = inTiff(tiff);
    if (found !== undefined) return found;
  }
  return Number(/tiff:Orientation(?:="|>)([0-9])/.exec(xmp?.toString('latin1') ?? '')?.[1] ?? 1);
}

function withoutName(exif: Buffer): Buffer {
  const names = /^(?:Exif\0\0){1,2}/.exec(exif.toString('latin1', 0, 12))?.[0] ?? '';
  return exif.subarray(names.length);
}

/** @returns undefined if it has no orientation */
function inTiff(tiff: Buffer): number | undefined {
  const start = tiff.toString('latin1', 0, 4);
  if (tiff.length < 8 || !['MM\0*', 'MM*\0', 'MM\0+', 'II*\0', 'II\0*'].includes(start)) return 1;
  const isBig = start.startsWith('M');
  const uint16 = (at: number): number => (isBig ? tiff.readUInt16BE(at) : tiff.readUInt16LE(at));
  const uint32 = (at: number): number => (isBig ? tiff.readUInt32BE(at) : tiff.readUInt32LE(at));
  const directory = uint32(4);
  if (directory + 2 > tiff.length) return undefined;
  const entries = uint16(directory);
  let bytesElsewhere = 0;
  for (let entry = 0, at = directory + 2; entry < entries && at + 12 <= tiff.length; entry += 1, at += 12) {
    const type = uint16(at + 2);
    const valueBytes = VALUE_BYTES[type] ?? 0;
    const size = valueBytes * uint32(at + 4);
    if (size === 0) continue;
    let value = at + 8;
    if (size > 4) {
      bytesElsewhere += size;
      if (bytesElsewhere > tiff.length) continue;
      value = uint32(at + 8);
      // Pillow then ignores the rest of the directory.
      if (value + size > tiff.length) return undefined;
    }
    if (uint16(at) === ORIENTATION) return valueOf(tiff, type, value, isBig);
  }
  return undefined;
}

/** The first value, if there are several. */
function valueOf(tiff: Buffer, type: number, at: number, isBig: boolean): number {
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  const isLittle = !isBig;
  switch (type) {
    case 3:
    case 8:
      return view.getUint16(at, isLittle);
    case 4:
    case 9:
    case 13:
      return view.getUint32(at, isLittle);
    case 5:
    case 10:
      return view.getUint32(at, isLittle) / view.getUint32(at + 4, isLittle);
    case 6:
      return view.getInt8(at);
    case 11:
      return view.getFloat32(at, isLittle);
    case 12:
      return view.getFloat64(at, isLittle);
    case 16:
      return Number(view.getBigUint64(at, isLittle));
    default:
      return 1;
  }
}
