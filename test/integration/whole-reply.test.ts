import { expect, test } from '@jest/globals';
import { WholeReply } from '../../gateway/answer/whole-reply.ts';
import { engineAnswer } from '../../gateway/answer/engine/answer.ts';

test('an endless answer does not fill the memory', () => {
  const reply = new WholeReply(engineAnswer('/v1/chat/completions', 1), 'messages');
  reply.head({ status: 200, contentType: 'application/json' });
  const piece = Buffer.alloc(1024 * 1024, ' ');
  for (let n = 0; n < 64; n += 1) expect(reply.data(piece)).toBeUndefined();
  expect(reply.data(piece)).toMatchObject({ code: 'engine_failed' });
});
