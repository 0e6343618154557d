import { expect, test } from '@jest/globals';
import type { Sampling } from '../../../../worker-launcher/simulator/engine/sampling.ts';
import { Sequence, type Step } from '../../../../worker-launcher/simulator/engine/sequence.ts';
import { recite } from '../../../../worker-launcher/simulator/text/structured.ts';
import { tokenId } from '../../../../worker-launcher/simulator/text/tokens.ts';

const PLAIN: Sampling = {
  choices: 1,
  minTokens: 0,
  ignoreEos: false,
  stops: [],
  stopIds: [],
  keepStop: false,
  seed: undefined,
};

function run(text: string, sampling: Partial<Sampling>, maxTokens = 100): Step[] {
  const sequence = new Sequence(recite(text), { ...PLAIN, ...sampling }, maxTokens);
  const steps: Step[] = [];
  while (steps.at(-1)?.finish === undefined || steps.at(-1)?.finish === null) steps.push(sequence.step());
  return steps;
}

const textOf = (steps: readonly Step[]): string => steps.map((step) => step.text).join('');

test('the natural end is a token of its own, without text', () => {
  expect(run('one two', {}).at(-1)).toEqual({ piece: '<|end|>', text: '', finish: 'stop', stopReason: 32_007 });
});

test('max_tokens ends the answer with reason length, in the step of the last token', () => {
  expect(run('one two three four', {}, 2).map((step) => [step.text, step.finish])).toEqual([
    ['one', null],
    [' two', 'length'],
  ]);
});

test('the answer ends before a stop string, even if it spans tokens, and no part of it is sent', () => {
  const steps = run('one two three four', { stops: ['wo th'] });
  expect(textOf(steps)).toBe('one t');
  expect(steps.at(-1)).toMatchObject({ finish: 'stop', stopReason: 'wo th' });
});

test('include_stop_str_in_output keeps the stop string', () => {
  expect(textOf(run('one two three', { stops: ['two'], keepStop: true }))).toBe('one two');
});

test('text that was held back for a stop string is sent at the end if the stop string stays incomplete', () => {
  expect(textOf(run('one two three', { stops: ['threefold'] }))).toBe('one two three');
});

test('before min_tokens neither the end nor a stop string counts', () => {
  expect(run('one two', { minTokens: 5 }).length).toBeGreaterThan(5);
  expect(textOf(run('one two three four', { minTokens: 3, stops: ['two'] }))).toContain('three');
});

test('a stop token ends the answer and is the stop reason', () => {
  const id = tokenId(' two');
  expect(run('one two three', { stopIds: [id] }).at(-1)).toMatchObject({ text: '', finish: 'stop', stopReason: id });
});
