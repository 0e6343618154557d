import { describe, expect, test } from '@jest/globals';
import { chart, panels } from '../../../deploy/bench/compare/chart.mjs';
import { Histogram } from '../../../deploy/bench/compare/histogram.mjs';
import { loads } from '../../../deploy/bench/compare/loads.mjs';
import { merge, rowOf, total, type Results, type Run } from '../../../deploy/bench/compare/merge.mjs';
import { readOptions } from '../../../deploy/bench/compare/options.mjs';
import { partOf, pinningPlan, shares, steps } from '../../../deploy/bench/compare/plan.mjs';
import { page, table } from '../../../deploy/bench/compare/table.mjs';
import { AnswerReader } from '../../../deploy/bench/peers/answer-reader.mjs';

const NO_TIMES = { p50: null, p99: null };

function run(round: number, cpu: Record<string, number>, p99 = 10): Run {
  const figures = {
    ok: 1_000,
    chunks: 0,
    incomplete: 0,
    errors: round === 1 ? {} : { 'status 502': 3 },
    wallSeconds: 2,
    latency: { p50: 4, p99 },
    firstToken: NO_TIMES,
    gap: NO_TIMES,
  };
  return {
    round,
    peer: 'penstock',
    load: 'c256',
    measured: { figures, cpu, loadSide: 1, memoryMiB: 100 * round, memoryEach: {}, steady: null },
  };
}
const results: Results = {
  machine: {
    name: 'here',
    cores: 16,
    model: 'x',
    memoryGiB: 64,
    node: 'v24.0.0',
    commit: 'abc1234',
    date: '2026-01-01',
    pinned: true,
  },
  commands: ['npm run bench --'],
  runs: [run(1, { gateway: 0.2, Redis: 0.1 }), run(2, { gateway: 0.4, Redis: 0.1 }, 30)],
};

test('a percentile of several processes is at most 0.5 % above the sample', () => {
  const [one, other] = [new Histogram(), new Histogram()];
  for (const ms of [0.3, 20, 0]) one.add(ms);
  for (const ms of [3, 1e9]) other.add(ms);
  one.addAll(other);
  const { p50, p99 } = one.summary();
  expect(p50).toBeGreaterThanOrEqual(3);
  expect(p50).toBeLessThan(3.02);
  expect(p99).toBeGreaterThan(100_000);
  expect(new Histogram().summary()).toEqual({ p50: null, p99: null });
});

describe('the plan of the cores', () => {
  test('callers and engine have a core each, and no process of the gateway is there', () => {
    const { callers, engine, gateway } = pinningPlan([4, 5, 6, 7]);
    expect([callers, engine, ...[0, 1, 2].map(gateway)]).toEqual([[4], [5], [6], [7], [6]]);
  });

  test('on a large machine each process of the gateway has its own core, and the load side has more', () => {
    const { callers, engine, gateway } = pinningPlan(Array.from({ length: 16 }, (_, i) => i));
    const all = [callers, engine, ...[0, 1, 2, 3, 4].map(gateway)].flat();
    expect([callers?.length, engine?.length, new Set(all).size]).toEqual([5, 5, 15]);
  });

  test('below four cores nothing is pinned', () => {
    const { callers, engine, gateway } = pinningPlan([0, 1]);
    expect([callers, engine, gateway(0)]).toEqual([null, null, null]);
  });
});

test('callers are shared among the processes', () => {
  expect(shares(10, 4)).toEqual([2, 3, 2, 3]);
});

test('the second round has the opposite order, and the parts are all steps', () => {
  const all = steps(['a', 'b', 'c']);
  expect(all.map(({ round, peer }) => `${peer}${round}`)).toEqual(['a1', 'b1', 'c1', 'c2', 'b2', 'a2']);
  expect(['1/4', '2/4', '3/4', '4/4'].flatMap((part) => partOf(all, part))).toEqual(all);
  expect(() => partOf(all, '5/4')).toThrow('--part is 5/4: write it as n/m');
});

test('options are checked, and names get the order of the table', () => {
  const known = { peers: ['a', 'b'], loads: ['c1'] };
  expect(readOptions(['--only', 'b,a', '--seconds', '4'], known)).toMatchObject({ only: ['a', 'b'], seconds: 4 });
  expect(() => readOptions(['--only', 'x'], known)).toThrow('--only names x: known are a, b');
  expect(() => readOptions(['--seconds', '1'], known)).toThrow('--seconds is 1: give a whole number from 3 up');
});

test('every load has a body of the same model, and streams are as long as the load', () => {
  const all = loads({ seconds: 4, streams: 7 });
  expect(all.map(({ name }) => name)).toEqual(['c1', 'c32', 'c256', 'streams', 'picture', 'ttft']);
  const streams = all.find(({ name }) => name === 'streams');
  expect(streams).toMatchObject({ concurrency: 7, tokens: 200 });
  expect(JSON.parse(String(streams?.body()))).toMatchObject({ max_tokens: 200, stream: true });
});

test('a row has the mean of the rounds, the higher p99 and all errors', () => {
  const row = rowOf('Penstock', results.runs);
  expect(total(row.cpuEach)).toBeCloseTo(0.0004);
  expect(row).toMatchObject({
    rate: 500,
    latency: { p50: 4, p99: 30 },
    memoryMiB: 200,
    loadSideCores: 0.5,
    errors: { 'status 502': 3 },
  });
  expect(rowOf('x', [{ round: 1, peer: 'x', load: 'c1', problem: 'no start' }])).toMatchObject({
    cpuEach: {},
    rate: null,
    errors: { 'no start': 1 },
  });
});

test('parts of one run are merged, but not with another machine', () => {
  const again = { ...results, commands: ['b'], runs: [run(2, { gateway: 0.6 })] };
  const merged = merge(results, again);
  expect(merged.commands).toEqual(['npm run bench --', 'b']);
  expect(merged.runs.map(({ round, measured }) => [round, measured?.cpu['gateway']])).toEqual([
    [1, 0.2],
    [2, 0.6],
  ]);
  expect(() => merge(results, { ...results, machine: { ...results.machine, cores: 2 } })).toThrow(
    'the earlier parts have cores 16, this one has 2: give this run another --name',
  );
});

test('the page names machine and command, and shows a figure of each process', () => {
  const rows = (load: string) => (load === 'c256' ? [rowOf('**Penstock**', results.runs)] : []);
  const text = page(results, { rows, loads: [{ name: 'c256', heading: 'Two' }], peers: [], chart: 'a.svg' });
  expect(text).toContain('| here | 16 | x | 64 GiB | v24.0.0 | `abc1234` | one core each |');
  expect(text).toContain('npm run bench --');
  expect(text).toContain(
    '| **Penstock** | 0.400 | gateway 0.300, Redis 0.100 | 500 | 4.0 / 30.0 | 200 | 0.50 | 3 × status 502 |',
  );
});

test('a cell keeps its bar', () => {
  const row = rowOf('a|b', []);
  expect(table([['x', ({ title }) => title]], [row])).toBe('| x |\n| --- |\n| a\\|b |');
});

test('a chart has a bar for each figure, and says which has none', () => {
  const rows = (load: string) => (load === 'c256' ? [rowOf('a<b', results.runs), rowOf('Penstock', [])] : []);
  const svg = chart(panels(rows, total));
  expect(svg.match(/<rect /g)).toHaveLength(3);
  expect(svg).toContain('a&lt;b');
  expect(svg).toContain('no figure');
});

describe('answers of a connection', () => {
  const STREAM = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=1\r\nde\r\n0\r\n\r\n';
  test.each([
    [STREAM, 'abcde', false],
    ['HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno', 'no', true],
  ])('%j is read, however it is cut', (text, body, closes) => {
    for (let size = 1; size <= text.length; size += 1) {
      const reader = new AnswerReader();
      let read = '';
      const ends = [];
      for (let at = 0; at < text.length; at += size)
        ends.push(reader.feed(text.slice(at, at + size), (piece) => (read += piece)));
      expect([read, reader.status, reader.closes]).toEqual([body, Number(text.slice(9, 12)), closes]);
      expect(ends.map(Boolean).indexOf(true)).toBe(ends.length - 1);
    }
  });

  test('the end of the connection ends an answer without a length', () => {
    const reader = new AnswerReader();
    expect(reader.feed('HTTP/1.1 200 OK\r\n\r\nabc', () => {})).toBe(false);
    expect(reader.endsWithConnection).toBe(true);
  });
});
