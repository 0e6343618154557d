import { z } from 'zod';
import { readJsonBody } from '../http/body.ts';
import { readMessages } from './messages.ts';
import { checkModel } from '../generate/context.ts';
import type { Exchange } from '../http/exchange.ts';
import { preparePictures } from './pictures.ts';
import { chatPrompt, plainPrompt, promptIds } from '../text/prompt.ts';
import { complaints, field, parseBody } from '../http/pydantic.ts';
import type { Simulator } from '../simulator.ts';
import { TOKEN, tokenLabel, tokenText } from '../text/tokens.ts';

const TokenizeBody = z.object({
  model: field.text,
  prompt: field.text,
  messages: z.array(z.unknown()).optional(),
  add_special_tokens: field.bool,
  add_generation_prompt: field.bool,
  continue_final_message: field.bool,
  return_token_strs: field.bool,
});
const DetokenizeBody = z.object({ model: field.text, tokens: z.array(z.number().int()) });

/** `POST /tokenize`: of a text, or of a conversation with its pictures. The count is that of such a request. */
export async function handleTokenize(exchange: Exchange, { engine, settings }: Simulator): Promise<void> {
  const body = parseBody(TokenizeBody, await readJsonBody(exchange.req));
  checkModel(body.model, settings.names);
  let ids: number[];
  if (body.messages !== undefined) {
    const conversation = readMessages(body.messages, settings);
    const { pictures } = await preparePictures(conversation.pictures, engine, exchange.gone);
    const options = {
      generationPrompt: body.add_generation_prompt ?? true,
      continueLast: body.continue_final_message ?? false,
    };
    ids = promptIds(chatPrompt(conversation.turns, pictures, options));
  } else if (body.prompt !== undefined) {
    ids = promptIds(plainPrompt(body.prompt));
    if (body.add_special_tokens === false) ids = ids.filter((id, index) => index > 0 || id !== TOKEN.bos);
  } else {
    const input = {};
    throw complaints([
      { type: 'missing', path: ['TokenizeCompletionRequest', 'prompt'], message: 'Field required', input },
      { type: 'missing', path: ['TokenizeChatRequest', 'messages'], message: 'Field required', input },
    ]);
  }
  exchange.json(200, {
    count: ids.length,
    max_model_len: settings.maxModelLength,
    tokens: ids,
    token_strs: body.return_token_strs === true ? ids.map(tokenLabel) : null,
  });
}

/** `POST /detokenize`: exact for ids that this process gave to a text. */
export async function handleDetokenize(exchange: Exchange, { settings }: Simulator): Promise<void> {
  const body = parseBody(DetokenizeBody, await readJsonBody(exchange.req));
  checkModel(body.model, settings.names);
  exchange.json(200, { prompt: body.tokens.map(tokenText).join('') });
}
