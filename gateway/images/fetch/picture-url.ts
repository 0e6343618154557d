import { Failure } from '../../failure.ts';

/** Limit for a picture's URL, also after a redirect, in characters. */
const LONGEST_URL = 8_192;

/**
 * Checks a URL without any request.
 * @param base the URL that a redirect's relative URL is resolved against
 * @throws Failure `invalid_image` if it is no URL or too long, `image_refused` for schemes except http and https, and
 * for URLs with a password
 */
export function readPictureUrl(text: string, param: string, base?: string): URL {
  if (text.length > LONGEST_URL)
    throw new Failure(
      'invalid_image',
      `${param} has a URL of ${text.length} characters; at most ${LONGEST_URL} are allowed. Use a shorter URL, or send the picture as a data URI`,
      { param, asked: text.length, allowed: LONGEST_URL },
    );
  if (!URL.canParse(text, base)) throw new Failure('invalid_image', `${param} is not a valid URL`, { param });
  const url = new URL(text, base);
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new Failure('image_refused', `${param} has a URL with a scheme other than http, https and data`, { param });
  if (url.username !== '' || url.password !== '')
    throw new Failure('image_refused', `${param} has a URL with a user name or password; remove it`, { param });
  return url;
}
