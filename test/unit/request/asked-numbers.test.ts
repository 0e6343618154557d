import { expect, test } from '@jest/globals';
import * as conventions from '@opentelemetry/semantic-conventions/incubating';
import { askedNumbers } from '../../../gateway/request/asked-numbers.ts';

const names = new Set(Object.values(conventions).filter((value) => typeof value === 'string'));

test('the numbers of a request have the names of the conventions', () => {
  const sampling = {
    temperature: 0.1,
    top_p: 0.2,
    top_k: 3,
    frequency_penalty: 0.4,
    presence_penalty: 0.5,
    stop: ['x'],
  };
  const request = {
    messages: [],
    stream: false,
    includeUsage: false,
    maxTokensParam: '',
    messagesParam: '',
    ignored: [],
  };
  const asked = askedNumbers({ ...request, sampling, choices: 2, maxTokens: 8 });
  expect(Object.keys(asked)).toHaveLength(7);
  for (const name of Object.keys(asked)) expect(names).toContain(name);
});
