import { Failure } from '../../failure.ts';

/** Characters of a picture's URL, also behind a redirect. */
const LONGEST_URL = 8_192;

/**
 * What can be said of a URL without asking anybody.
 * @param base what a relative URL of a redirect is relative to
 * @throws Failure `invalid_image` for what is no URL or too long, `image_refused` for other schemes than http and https, and for
 * URLs with a password
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
    throw new Failure('image_refused', `${param} has a URL with a user name or password in it; remove it`, { param });
  return url;
}
