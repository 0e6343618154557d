import type { ConsoleModel } from '#contract/console';

export const MODEL: ConsoleModel = {
  name: 'Phi-3-vision-128k-instruct',
  version: '2',
  aliases: ['phi-3-vision'],
  deployments: [],
  languages: ['en'],
  task: 'chat-completion',
  input: ['text', 'image'],
  images: 1,
  contextTokens: 131_072,
  maxOutputTokens: 4_096,
  defaultOutputTokens: 4_096,
  tools: false,
  machines: [],
  rules: [],
  readyEngines: 1,
};
