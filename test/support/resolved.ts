import type { ChatRequest } from '../../gateway/request/chat.ts';
import type { ImageResolver } from '../../gateway/request/resolve-images.ts';
import { PictureBytes } from '../../gateway/intake/picture-bytes.ts';

/** Resolves the pictures of a request, and puts them into their places like an engine's request. */
export async function resolvePictures(resolver: ImageResolver, asked: ChatRequest, signal: AbortSignal) {
  const pictures = new PictureBytes();
  const { request, images } = await resolver.resolve(asked, pictures, signal);
  const joined: unknown = JSON.parse(Buffer.concat(pictures.join(JSON.stringify(request))).toString());
  return { request: joined, images };
}
