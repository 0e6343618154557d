import { dataUri, gif, jpeg, png, webp } from '../support/pictures.ts';
import type { FailureCode } from '../../gateway/failure.ts';
import { COMPLETIONS, WITH_MESSAGES, type Route } from './route.ts';

/** A fault in the place of a conversation or a prompt. */
export interface InputFault {
  readonly fault: string;
  /** @param pictures base URL of the server of bad pictures */
  readonly input: (pictures: string) => unknown;
  readonly routes: readonly Route[];
  readonly code: FailureCode;
  /** the place that the refusal names, such as `[0].role` */
  readonly inside: string;
}

function bad(fault: string, input: unknown, inside = '', code: FailureCode = 'invalid_request'): InputFault {
  return { fault, input: () => input, routes: WITH_MESSAGES, code, inside };
}
const user = (content: unknown): object => ({ role: 'user', content });
const text = { type: 'text', text: 'what is it?' };
const image = (url: string): object => ({ type: 'image_url', image_url: { url } });
const PICTURE = image(dataUri(png(8, 6)));

const MESSAGES = [
  bad('no message', []),
  bad('a text in place of messages', 'hi'),
  bad('an object in place of messages', { role: 'user', content: 'hi' }),
  bad('a number among the messages', [user('hi'), 5], '[1]'),
  bad('a message without a role', [{ content: 'hi' }], '[0].role'),
  bad('a role that no template knows', [{ role: 'robot', content: 'hi' }], '[0].role'),
  bad('a message without content', [{ role: 'user' }], '[0].content'),
  bad('null as what a user said', [user(null)], '[0].content'),
  bad('a number as content', [user(5)], '[0].content'),
  bad('half of an emoji in a text', [user('cut \ud83d')], '[0].content'),
  bad('half of an emoji in a part', [user([{ type: 'text', text: '\udc00' }])], '[0].content[0].text'),
  bad('a list among the parts', [user([['hi']])], '[0].content[0]'),
  bad('a text part without text', [user([{ type: 'text' }])], '[0].content[0].text'),
  bad('a number as text of a part', [user([{ type: 'text', text: 9 }])], '[0].content[0].text'),
  bad('a part without type', [user([{ text: 'hi' }])], '[0].content[0].type'),
  bad('a part of unknown type', [user([{ type: 'poem', poem: 'hi' }])], '[0].content[0].type'),
  bad('sound', [user([{ type: 'input_audio', input_audio: { data: 'AAAA' } }])], '[0].content[0].type'),
  bad('a name that is no text', [{ role: 'user', content: 'hi', name: 5 }], '[0].name'),
  bad('calls that are no list', [{ role: 'assistant', content: 'x', tool_calls: 'paint' }], '[0].tool_calls'),
  bad('a conversation beyond the context', [user('word '.repeat(500_000))], '', 'context_length_exceeded'),
];

const PROMPTS = [
  bad('no prompt', null),
  bad('an empty prompt', ''),
  bad('an empty list of prompts', []),
  bad('an object as prompt', { text: 'hi' }),
  bad('half of an emoji in a prompt', 'cut \ud83d'),
  bad('a number among prompts', ['hi', 5], '[1]'),
  bad('a token id with a fraction', [1, 2.5], '[0]'),
  bad('a negative token id in a prompt', [[-1]], '[0]'),
  bad('two prompts', ['one', 'two'], '', 'batch_not_supported'),
  bad('two prompts of token ids', [[1, 2], [3]], '', 'batch_not_supported'),
  bad('a prompt beyond the context', 'word '.repeat(500_000), '', 'context_length_exceeded'),
  bad('more token ids than the context', new Array(131_073).fill(1), '', 'context_length_exceeded'),
].map((fault) => ({ ...fault, routes: COMPLETIONS }));

const COUNT = [
  bad('two pictures in one message', [user([PICTURE, text, PICTURE])], '[0].content[2]', 'too_many_images'),
  bad(
    'two pictures over turns',
    [user([PICTURE, text]), { role: 'assistant', content: 'One.' }, user([text, PICTURE])],
    '[2].content[1]',
    'too_many_images',
  ),
];

/** A conversation with one picture; the refusal names the place of its URL. */
function badUrl(
  fault: string,
  url: string | ((pictures: string) => string),
  code: FailureCode = 'invalid_image',
): InputFault {
  const input = (pictures: string): unknown => [
    user([text, image(typeof url === 'string' ? url : pictures + url(pictures))]),
  ];
  return { fault, input, routes: WITH_MESSAGES, code, inside: '[0].content[1].image_url.url' };
}
const base64 = png(30, 20).toString('base64');
const cut = (picture: Buffer): string => dataUri(picture.subarray(0, -20));
const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');

const PICTURES = [
  badUrl('a picture whose URL answers 404', () => '/missing', 'image_fetch_failed'),
  badUrl('a picture whose server fails', () => '/broken', 'image_fetch_failed'),
  badUrl('a picture that is an HTML page', () => '/page'),
  badUrl('a picture that is too large, and says so', () => '/large', 'image_too_large'),
  badUrl('a picture that is too large, and does not say so', () => '/endless', 'image_too_large'),
  badUrl('a picture that never comes', () => '/never', 'image_fetch_failed'),
  badUrl('a picture that is redirected in a loop', () => '/loop', 'image_fetch_failed'),
  badUrl('a picture redirected to a private address', () => '/inside', 'image_fetch_failed'),
  badUrl('a picture whose sender hangs up', () => '/cut', 'image_fetch_failed'),
  badUrl('a picture that is cut short at its URL', () => '/half'),
  badUrl('a picture at a private address', 'http://10.0.0.1/a.png', 'image_fetch_failed'),
  badUrl('a picture at a metadata service', 'http://169.254.169.254/metadata/instance', 'image_fetch_failed'),
  badUrl('a picture at a closed port', 'http://127.0.0.1:1/a.png', 'image_fetch_failed'),
  badUrl('a picture in a file', 'file:///etc/passwd', 'image_refused'),
  badUrl('a picture by ftp', 'ftp://127.0.0.1/a.png', 'image_refused'),
  badUrl('a URL with a password', 'http://me:secret@127.0.0.1/a.png', 'image_refused'),
  badUrl('an invalid URL', 'http://[/a.png'),
  badUrl('a URL that is too long', `http://127.0.0.1/${'a'.repeat(8_192)}`),
  badUrl('base64 in place of a URL', base64),
  badUrl('base64 with a character that does not belong', 'data:image/png;base64,@@@@'),
  badUrl('base64 with line breaks', `data:image/png;base64,${base64.replace(/.{76}/g, '$&\n')}`),
  badUrl('base64 in the URL-safe alphabet', `data:image/png;base64,${base64.slice(0, -4)}-_-_`),
  badUrl('base64 that is cut', `data:image/png;base64,${base64.slice(0, -3)}`),
  badUrl('a data URI without base64', 'data:image/png,%89PNG'),
  badUrl('a data URI without anything', 'data:image/png;base64,'),
  badUrl('a text in place of a picture', dataUri(Buffer.from('hello'))),
  badUrl('SVG', dataUri(svg, 'image/svg+xml')),
  badUrl('a PNG that is cut short', cut(png(64, 64))),
  badUrl('a JPEG that is cut short', cut(jpeg(64, 64, 200))),
  badUrl('a GIF that is cut short', cut(gif(64, 64))),
  badUrl('a WebP that is cut short', dataUri(webp(64, 64).subarray(0, -1))),
  badUrl(
    'a picture of more bytes than are taken',
    dataUri(Buffer.concat([png(8, 8), Buffer.alloc(300_000)])),
    'image_too_large',
  ),
  badUrl('a picture of too many pixels', dataUri(gif(60_000, 60_000)), 'image_too_large'),
  badUrl('a picture too wide to be tiled', dataUri(png(5_377, 1))),
  badUrl('a picture too tall to be tiled', dataUri(png(1, 6_000))),
];

const at = '[0].content[0]';
const PARTS = [
  bad('a picture part without a picture', [user([{ type: 'image_url' }])], `${at}.image_url`),
  bad('a picture part without a URL', [user([{ type: 'image_url', image_url: {} }])], `${at}.image_url.url`),
  bad('a picture part with an empty URL', [user([image('')])], `${at}.image_url.url`),
  bad('a number as URL', [user([{ type: 'image_url', image_url: { url: 5 } }])], `${at}.image_url.url`),
  bad("the model author's picture part", [user([{ type: 'image', image: dataUri(png(1, 1)) }])], `${at}.type`),
  bad('a cache key beside a picture', [user([{ ...PICTURE, uuid: 'theirs' }])], `${at}.uuid`, 'unsupported_parameter'),
  bad(
    'a cache key inside a picture',
    [user([{ type: 'image_url', image_url: { url: dataUri(png(1, 1)), uuid: 'theirs' } }])],
    `${at}.image_url.uuid`,
    'unsupported_parameter',
  ),
];

export const INPUT_FAULTS: readonly InputFault[] = [...MESSAGES, ...PROMPTS, ...COUNT, ...PICTURES, ...PARTS];
