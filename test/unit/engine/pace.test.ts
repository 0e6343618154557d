import { describe, expect, test } from '@jest/globals';
import {
  isSlowCanary,
  PaceRule,
  promptWeight,
  type EngineFacts,
  type Intake,
} from '../../../worker-launcher/engine/pace.ts';

const LIMITS = { factor: 4, windowMs: 30_000, muteMs: 10_000 };

/** What an engine does in one second, and its state at the end. */
interface Second {
  readonly tokens?: number;
  readonly gapMs?: number;
  readonly answers?: number;
  readonly waitMs?: number;
  readonly weight?: number;
  readonly waiting?: number;
  readonly silentMs?: number;
  readonly heardAgoMs?: number | null;
  readonly stuckMs?: number;
  readonly movedAgoMs?: number | null;
  readonly ready?: boolean;
}
const WELL: Second = { tokens: 200, gapMs: 5, answers: 4, waitMs: 20, weight: 2_000, heardAgoMs: 100 };
const TEN_TIMES_SLOWER: Second = { ...WELL, tokens: 20, gapMs: 50, answers: 1, waitMs: 400 };

/** Engines that do the same each second. @returns the findings in this many seconds, each once */
function watch(doing: readonly Second[], rule = new PaceRule(LIMITS)) {
  const page = doing.map(() => ({ gapSeconds: 0, gaps: 0, waitSeconds: 0, waits: 0 }));
  const taken = doing.map(() => 0);
  let now = 0;
  const look = (): EngineFacts[] =>
    doing.map((one, index) => {
      const { tokens = 0, gapMs = 0, answers = 0, waitMs = 0, weight = 0 } = one;
      const was = page[index] ?? { gapSeconds: 0, gaps: 0, waitSeconds: 0, waits: 0 };
      const is = {
        gapSeconds: was.gapSeconds + (tokens * gapMs) / 1_000,
        gaps: was.gaps + tokens,
        waitSeconds: was.waitSeconds + (answers * waitMs) / 1_000,
        waits: was.waits + answers,
      };
      page[index] = is;
      taken[index] = (taken[index] ?? 0) + weight;
      const { waiting = 0, silentMs = 0, heardAgoMs = null, stuckMs = 0, movedAgoMs = null } = one;
      const intake: Intake = {
        taken: taken[index] ?? 0,
        waiting,
        silentMs,
        heardAgoMs,
        stuckMs,
        movedAgoMs,
        headless: 0,
      };
      return { id: `e${index}`, pid: 1, ready: one.ready ?? true, page: is, intake };
    });
  return {
    rule,
    now: () => now,
    pass: (seconds: number): string[] => {
      const found = new Set<string>();
      for (let n = 0; n < seconds; n += 1) {
        now += 1_000;
        for (const one of rule.look(look(), now))
          found.add(`${one.id} ${one.kind}${one.kind === 'silent' && !one.compared ? ', alone' : ''}`);
      }
      return [...found];
    },
  };
}

describe('slow', () => {
  test.each([
    ['one of four', [TEN_TIMES_SLOWER, WELL, WELL, WELL]],
    ['one of two', [TEN_TIMES_SLOWER, WELL]],
    ['one that answers in one token', [{ ...TEN_TIMES_SLOWER, tokens: 0 }, WELL, WELL]],
    ['one that has the same long prompts', [TEN_TIMES_SLOWER, WELL, WELL].map((one) => ({ ...one, weight: 100_000 }))],
    [
      'one whose siblings are crowded as it is',
      [
        { ...TEN_TIMES_SLOWER, tokens: 600, gapMs: 200 },
        { ...WELL, tokens: 6_000, gapMs: 20 },
      ],
    ],
  ])('H5: %s, ten times slower, is found once the window is full', (_name, doing) => {
    const { pass } = watch(doing);
    expect(pass(30)).toEqual([]);
    expect(pass(5)).toEqual(['e0 slow']);
  });

  test('H5: if all are equally slow, none is blamed, whatever the cause', () => {
    expect(watch([TEN_TIMES_SLOWER, TEN_TIMES_SLOWER, TEN_TIMES_SLOWER]).pass(600)).toEqual([]);
    const crowded = { ...WELL, tokens: 7_000, gapMs: 35, weight: 500_000, waiting: 1_000_000 };
    expect(watch([crowded, crowded, crowded, crowded]).pass(600)).toEqual([]);
  });

  test('H5: if most engines are slow, the fast one is the exception, and none is blamed', () => {
    expect(watch([TEN_TIMES_SLOWER, TEN_TIMES_SLOWER, TEN_TIMES_SLOWER, WELL]).pass(600)).toEqual([]);
  });

  test('H5: an engine that reads long prompts or pictures while its siblings do not is not compared with them', () => {
    const reads = { ...TEN_TIMES_SLOWER, weight: 20_000 };
    expect(watch([reads, WELL, WELL]).pass(600)).toEqual([]);
    // one prompt of 128k tokens, read for a minute
    const longReader = { ...TEN_TIMES_SLOWER, waiting: 500_000 };
    expect(watch([longReader, WELL, WELL]).pass(600)).toEqual([]);
  });

  test('H5: an engine with hundreds of answers is not compared with one that has a few', () => {
    const crowded = { ...WELL, tokens: 7_350, gapMs: 35 };
    expect(watch([crowded, { ...WELL, tokens: 240, gapMs: 4.2 }]).pass(600)).toEqual([]);
  });

  test('H5: too few tokens and answers, small differences, no siblings in service: no engine is blamed', () => {
    const few = { ...TEN_TIMES_SLOWER, tokens: 0.5, answers: 0.1 };
    expect(watch([few, WELL]).pass(600)).toEqual([]);
    const quick = { ...WELL, gapMs: 0.1, waitMs: 1 };
    expect(watch([{ ...WELL, gapMs: 5, waitMs: 50 }, quick]).pass(600)).toEqual([]);
    expect(watch([TEN_TIMES_SLOWER]).pass(600)).toEqual([]);
    expect(watch([TEN_TIMES_SLOWER, { ...WELL, ready: false }]).pass(600)).toEqual([]);
  });

  test('H5: after a wrong suspicion an engine is not judged for one minute, then for two', () => {
    const { rule, pass, now } = watch([TEN_TIMES_SLOWER, WELL]);
    pass(40);
    rule.acquitted('e0', now());
    expect(pass(59)).toEqual([]);
    expect(pass(2)).toEqual(['e0 slow']);
    rule.acquitted('e0', now());
    expect(pass(119)).toEqual([]);
    expect(pass(2)).toEqual(['e0 slow']);
  });

  test('H5: an otherwise idle engine is compared with its siblings’ best', () => {
    expect(isSlowCanary(320, [32, 40, Infinity], LIMITS)).toBe(true);
    expect(isSlowCanary(90, [32, 40], LIMITS)).toBe(false);
    expect(isSlowCanary(130, [32, 40], LIMITS)).toBe(false);
    expect(isSlowCanary(10_000, [Infinity], LIMITS)).toBe(false);
  });
});

describe('silent', () => {
  const SILENT: Second = { silentMs: 12_000, waiting: 500, heardAgoMs: null };
  const answering: Second = { ...WELL, heardAgoMs: 50 };

  test('H5: an engine that sends nothing while a sibling answers gets a test request', () => {
    expect(watch([SILENT, answering]).pass(1)).toEqual(['e0 silent']);
    // it has requests from before, whether in service or not
    expect(watch([{ ...SILENT, ready: false }, answering]).pass(1)).toEqual(['e0 silent']);
  });

  test('H5: an engine whose answers are stuck gets a test request if a sibling’s continue, with or without new requests', () => {
    const STUCK: Second = { ...WELL, stuckMs: 12_000, movedAgoMs: 0 };
    const goesOn: Second = { ...WELL, heardAgoMs: 60_000, movedAgoMs: 50 };
    expect(watch([STUCK, goesOn]).pass(1)).toEqual(['e0 silent']);
    expect(watch([STUCK, { ...goesOn, movedAgoMs: 20_000 }]).pass(1)).toEqual(['e0 silent, alone']);
    expect(watch([{ ...STUCK, stuckMs: 9_000 }, goesOn]).pass(60)).toEqual([]);
  });

  test('H5: where no sibling answers, or there is none, a silent engine is asked as well, and is judged alone', () => {
    expect(watch([SILENT, SILENT]).pass(1)).toEqual(['e0 silent, alone', 'e1 silent, alone']);
    expect(watch([SILENT]).pass(1)).toEqual(['e0 silent, alone']);
    expect(watch([SILENT, { ...answering, heardAgoMs: 20_000 }]).pass(1)).toEqual(['e0 silent, alone']);
  });

  test('H5: a short silence is none', () => {
    expect(watch([{ ...SILENT, silentMs: 9_000 }, answering]).pass(60)).toEqual([]);
    expect(watch([{ ...SILENT, silentMs: 9_000 }]).pass(60)).toEqual([]);
  });

  test('H5: a prompt of 128k tokens gets time to be read, a picture a little', () => {
    const reading = { ...SILENT, waiting: promptWeight('text', 500_000) };
    expect(watch([{ ...reading, silentMs: 70_000 }, answering]).pass(1)).toEqual([]);
    expect(watch([{ ...reading, silentMs: 72_000 }, answering]).pass(1)).toEqual(['e0 silent']);
    const looking = { ...SILENT, waiting: promptWeight('image', 14_000_000) };
    expect(watch([{ ...looking, silentMs: 17_000 }, answering]).pass(1)).toEqual([]);
    expect(watch([{ ...looking, silentMs: 19_000 }, answering]).pass(1)).toEqual(['e0 silent']);
  });

  test('H5: after an answered test request, the silence counts from that answer', () => {
    const { rule, pass, now } = watch([
      { ...SILENT, silentMs: 1_000_000 },
      { ...answering, heardAgoMs: 0 },
    ]);
    pass(1);
    rule.answered('e0', now());
    expect(pass(10)).toEqual([]);
    expect(pass(1)).toEqual(['e0 silent']);
  });
});
