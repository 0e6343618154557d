import { crc32 } from 'node:zlib';
import type { Base64Bytes } from './base64-bytes.ts';
import { orientationOf } from './orientation.ts';
import type { TurningData } from './orientation.ts';
import { PictureProblem } from './picture-problem.ts';
import { EXIF_TEXT, RAW_EXIF_TEXT, XMP_TEXT, readPngText } from './png-text.ts';
import type { Size } from './size.ts';

const CUT = 'is a PNG picture that is cut short';
const SIGNATURE_BYTES = 8;
/** Chunks of picture data: of the picture, of Pillow's own kind, of an animation's later frames. */
const DATA = ['IDAT', 'DDAT', 'fdAT'];
/** Colour types, each with its possible bits per sample (source: PNG specification 11.2.1). */
const BITS: Readonly<Record<number, readonly number[]>> = {
  0: [1, 2, 4, 8, 16],
  2: [8, 16],
  3: [1, 2, 4, 8],
  4: [8, 16],
  6: [8, 16],
};
/** Shortest length of a chunk, and of tRNS for each colour type (source: Pillow's PngImagePlugin). */
const LEAST: Readonly<Record<string, number>> = {
  IHDR: 13,
  gAMA: 4,
  cHRM: 32,
  sRGB: 1,
  pHYs: 9,
  acTL: 8,
  fcTL: 26,
  fdAT: 4,
};
/** Limit for names of profiles and texts; the specification allows 79. */
const LONGEST_NAME = 1_024;
const LEAST_TRANSPARENCY: Readonly<Record<number, number>> = { 0: 2, 2: 6 };

/**
 * Reads chunk by chunk by their lengths. Up to the picture data it compares each checksum, as decoders do. Source: PNG
 * specification 5; Pillow's PngImagePlugin, for which the last header before the data counts.
 * @throws PictureProblem
 */
export function measurePng(bytes: Base64Bytes): Promise<Size> {
  return new Walk(bytes).measure();
}

interface Chunk {
  readonly name: string;
  /** of its data */
  readonly start: number;
  /** after its data, at its checksum */
  readonly end: number;
}

interface Header {
  readonly width: number;
  readonly height: number;
  /** undefined if no header had a valid pair of bits and colour type */
  readonly colour: number | undefined;
}

class Walk {
  readonly #bytes: Base64Bytes;
  readonly #texts = new Map<string, Buffer>();
  #header: Header | undefined;
  /** number that the animation declares; it might not include the picture itself */
  #frames = 0;
  #hasFrameControl = false;
  /** sequence number of frames' controls and data, which are counted together */
  #nextNumber = 0;

  constructor(bytes: Base64Bytes) {
    this.#bytes = bytes;
  }

  async measure(): Promise<Size> {
    let at = SIGNATURE_BYTES;
    for (;;) {
      const chunk = this.#chunkAt(at);
      if (chunk === undefined) throw new PictureProblem(CUT);
      if (DATA.includes(chunk.name)) break;
      if (chunk.name === 'IEND') throw new PictureProblem('is a PNG picture without picture data');
      at = chunk.end + 4;
      if (at > this.#bytes.length) throw new PictureProblem(CUT);
      await this.#read(chunk);
      await this.#compareChecksum(chunk);
    }
    const { width, height, colour } = this.#header ?? { width: 0, height: 0 };
    if (colour === undefined) throw new PictureProblem('is a PNG picture without a header that can be decoded');
    if (width === 0 || height === 0) throw new PictureProblem(`is a PNG picture of ${width} by ${height} pixels`);
    const rest = await this.#afterData(at);
    return { width, height, orientation: await this.#orientation(rest) };
  }

  /**
   * The chunk after the picture data shows whether they are complete. Without one, they count as complete if the last
   * of several chunks is shorter than the first, as encoders write it.
   * @returns the chunk after the picture data, if there is one
   */
  async #afterData(start: number): Promise<Chunk | undefined> {
    const bytes = this.#bytes;
    const sizes: number[] = [];
    let at = start;
    let chunk = this.#chunkAt(at);
    for (; chunk !== undefined && DATA.includes(chunk.name); chunk = this.#nextChunk(at)) {
      if (chunk.end > bytes.length) throw new PictureProblem(CUT);
      sizes.push(chunk.end - chunk.start);
      at = chunk.end + 4;
      if (bytes.isTired) await bytes.rest();
    }
    const isOpen = chunk === undefined && sizes.length > 1 && sizes[0] === sizes.at(-1);
    if (isOpen || sizes.every((size) => size === 0)) throw new PictureProblem(CUT);
    return chunk;
  }

  /** Metadata after the data count too; if they are damaged, Pillow shows the picture but turns nothing. */
  async #orientation(first: Chunk | undefined): Promise<number> {
    const isAnimation = this.#frames > (this.#hasFrameControl ? 1 : 0);
    let chunk = first;
    while (chunk !== undefined && chunk.name !== 'IEND' && !(isAnimation && chunk.name === 'fcTL')) {
      if (chunk.name === 'IDAT')
        throw new PictureProblem('is a PNG picture whose picture data are interrupted by another chunk');
      if (chunk.end > this.#bytes.length) return 1;
      try {
        await this.#read(chunk);
      } catch (cause) {
        if (cause instanceof PictureProblem) return 1;
        throw cause;
      }
      chunk = this.#nextChunk(chunk.end + 4);
      if (this.#bytes.isTired) await this.#bytes.rest();
    }
    return orientationOf(this.#turningData());
  }

  #turningData(): TurningData {
    const raw = this.#texts.get(RAW_EXIF_TEXT)?.toString('latin1').split('\n').slice(3).join('');
    const xmp = this.#texts.get(XMP_TEXT);
    const exif = this.#texts.get(EXIF_TEXT);
    if (exif !== undefined || raw === undefined) return { exif, xmp };
    return /^(?:[0-9a-f]{2}|\s)*$/i.test(raw) ? { exif: Buffer.from(raw.replace(/\s/g, ''), 'hex'), xmp } : {};
  }

  /** The chunk after the picture data, where any bytes may follow. @returns undefined if it is no chunk */
  #nextChunk(at: number): Chunk | undefined {
    return /^\w{4}$/.test(this.#bytes.text(at + 4, 4)) ? this.#chunkAt(at) : undefined;
  }

  /** @returns undefined if fewer bytes remain than the start of a chunk has @throws PictureProblem */
  #chunkAt(at: number): Chunk | undefined {
    if (at + 8 > this.#bytes.length) return undefined;
    this.#bytes.countPart();
    const name = this.#bytes.text(at + 4, 4);
    if (!/^\w{4}$/.test(name)) throw new PictureProblem('is a PNG picture with a broken chunk');
    return { name, start: at + 8, end: at + 8 + this.#bytes.uint32(at) };
  }

  /** Reads the chunks that decoders read. @throws PictureProblem for what they refuse */
  async #read({ name, start, end }: Chunk): Promise<void> {
    const bytes = this.#bytes;
    const size = end - start;
    let isSound = size >= (LEAST[name] ?? 0);
    if (name === 'IHDR') {
      isSound &&= bytes.byte(start + 11) === 0;
      const [bits, colour] = [bytes.byte(start + 8), bytes.byte(start + 9)];
      const known = BITS[colour]?.includes(bits) === true ? colour : this.#header?.colour;
      this.#header = { width: bytes.uint32(start), height: bytes.uint32(start + 4), colour: known };
    } else if (name === 'tRNS')
      isSound = this.#isPalette ? size <= 256 : size >= (LEAST_TRANSPARENCY[this.#header?.colour ?? -1] ?? 0);
    else if (name === 'PLTE') isSound = !this.#isPalette || size <= 768;
    else if (name === 'iCCP') isSound = this.#isDeflated(start, end) === true;
    else if (name === 'zTXt') isSound = this.#isDeflated(start, end) !== false;
    else if (name === 'acTL') this.#frames = this.#frames === 0 ? bytes.uint32(start) : 0;
    else if (name === 'fcTL' || name === 'fdAT') {
      this.#hasFrameControl = true;
      isSound &&= bytes.uint32(start) === this.#nextNumber && (name === 'fdAT' || this.#isInside(start));
      this.#nextNumber += 1;
    } else if (name === 'eXIf') this.#texts.set(EXIF_TEXT, await bytes.longSlice(start, end));
    if (!isSound) throw new PictureProblem(`is a PNG picture with a damaged ${name} chunk`);
    if (name !== 'tEXt' && name !== 'zTXt' && name !== 'iTXt') return;
    const text = readPngText(bytes, name, start, end);
    if (text !== undefined) this.#texts.set(text.key, text.value);
  }

  get #isPalette(): boolean {
    return this.#header?.colour === 3;
  }

  /** Reads the packing after a name; only one kind exists. @returns undefined if there is no name */
  #isDeflated(start: number, end: number): boolean | undefined {
    const name = this.#bytes.slice(start, Math.min(end, start + LONGEST_NAME)).indexOf(0);
    if (name === -1) return undefined;
    return start + name + 1 < end ? this.#bytes.byte(start + name + 1) === 0 : undefined;
  }

  /** Whether a frame of an animation has no pixel outside the picture. */
  #isInside(start: number): boolean {
    const bytes = this.#bytes;
    const [width, height] = [bytes.uint32(start + 4), bytes.uint32(start + 8)];
    const isEmpty = width === 0 || height === 0;
    const { width: right = 0, height: bottom = 0 } = this.#header ?? {};
    return !isEmpty && bytes.uint32(start + 12) + width <= right && bytes.uint32(start + 16) + height <= bottom;
  }

  /** compares the checksum over name and data @throws PictureProblem */
  async #compareChecksum({ name, start, end }: Chunk): Promise<void> {
    let sum = 0;
    for await (const piece of this.#bytes.pieces(start - 4, end)) sum = crc32(piece, sum);
    if (sum !== this.#bytes.uint32(end))
      throw new PictureProblem(`is a PNG picture with a damaged ${name} chunk: its checksum does not match`);
  }
}
