import { expect, test } from '@jest/globals';
import { describeCause } from '../../../gateway/runtime/log.ts';

test('a command that Redis refused is in the log without what it was to write', () => {
  const refused = Object.assign(new Error('OOM command not allowed'), {
    command: { name: 'set', args: ['k', 'canary'] },
  });
  const around = new Error('not enqueued', { cause: refused });
  const told = JSON.stringify(describeCause(around));
  expect(told).toContain('OOM command not allowed');
  expect(told).toContain('not enqueued');
  expect(told).not.toContain('canary');
});
