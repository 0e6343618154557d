import type { PictureReference } from './messages.ts';
import type { Engine } from '../engine/engine.ts';
import { badRequest } from '../http/errors.ts';
import { imageTokens, readPicture } from '../pictures/image.ts';
import { loadMedia } from '../pictures/media.ts';
import type { PromptPicture } from '../text/prompt.ts';

export interface PreparedPictures {
  readonly pictures: readonly PromptPicture[];
  /** how many of them were in the cache */
  readonly hits: number;
}

/** Loads and measures the pictures of a conversation. @throws ApiError as `loadMedia` and `readPicture` do */
export async function preparePictures(
  references: readonly PictureReference[],
  engine: Engine,
  gone: AbortSignal,
): Promise<PreparedPictures> {
  const { settings } = engine;
  let hits = 0;
  const pictures: PromptPicture[] = [];
  for (const [index, reference] of references.entries()) {
    const named = reference.uuid === undefined ? undefined : engine.pictures.find(reference.uuid);
    let picture = named;
    if (picture === undefined) {
      const found = readPicture(await bytesOf(reference, index, engine, gone), settings.maxImagePixels);
      const use = engine.pictures.use(found, reference.uuid);
      if (use.isHit) hits += 1;
      picture = use.picture;
    } else hits += 1;
    pictures.push({ picture, tokens: imageTokens(picture.width, picture.height, settings.numCrops) });
  }
  return { pictures, hits };
}

async function bytesOf(
  { url, uuid }: PictureReference,
  index: number,
  engine: Engine,
  gone: AbortSignal,
): Promise<Buffer> {
  if (url !== undefined && url !== '') return loadMedia(url, engine.settings, gone);
  if (uuid !== undefined) throw badRequest(`Cache miss for image at index ${index} but data is not provided.`);
  const sentence = `multi_modal_data['image'][${index}] is empty but multi_modal_uuids['image'][${index}] is missing.`;
  throw engine.settings.version === '0.32' ? badRequest(sentence) : badRequest(sentence, 'multi_modal_uuids');
}
