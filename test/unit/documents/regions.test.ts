import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import * as gatewayConfig from '../../../gateway/config.ts';
import * as gatewayMetrics from '../../../gateway/metrics.ts';
import * as redisWatch from '../../../gateway/runtime/redis-watch.ts';
import * as workerConfig from '../../../worker-launcher/config.ts';
import * as launcherMetrics from '../../../worker-launcher/metrics.ts';
import { pages } from '../../documents/files.mjs';
import * as traceSettings from '#runtime/trace-settings';
import { regionContents } from '../../documents/programs.mjs';
import { stalePages } from '../../documents/regions.mjs';
import { settingsTable } from '../../documents/tables.mjs';

const programs = { gatewayConfig, gatewayMetrics, workerConfig, launcherMetrics, redisWatch, traceSettings };
const contents = regionContents('.', programs);
let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'penstock-documents-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

test('the generated regions of the pages are as the programs are', async () => {
  const stale = await stalePages('.', pages('.'), contents);
  // If this fails: npm run documents -- --update
  expect(stale.map(({ file }) => file)).toEqual([]);
});

test('a region is filled, and the rest of its page stays', async () => {
  writeFileSync(join(folder, 'a.md'), '# A\n\n<!-- generated: x -->\n\nold\n\n<!-- end generated -->\n\nrest\n');
  const [page] = await stalePages(folder, ['a.md'], { x: '| a |\n| --- |\n| b |' });
  expect(page?.wanted).toBe(
    '# A\n\n<!-- generated: x -->\n\n| a   |\n| --- |\n| b   |\n\n<!-- end generated -->\n\nrest\n',
  );
  await expect(stalePages(folder, ['a.md'], { y: '' })).rejects.toThrow('no region x; there are y');
});

test('a setting gets the comment before it, its default and the unit of its name', () => {
  const source = [
    'const Fields = z.object({',
    '  /** address of Redis */',
    '  X_REDIS_URL: url,',
    '  /**',
    '   * how long; see',
    '   * WORKER_A_MS',
    '   */',
    '  X_WAIT_MS: setting,',
    '  /** the same, in bytes */',
    '  X_SIZE_BYTES: setting,',
    '  /** first | second; default: both */',
    '  X_WHICH: setting,',
    '  /** a login */',
    '  X_USER: setting,',
    '  X_PASSWORD: setting,',
    '  /** several */',
    '  X_LIST: list',
    '    .pipe(more),',
    '});',
  ].join('\n');
  expect(() => settingsTable('X_', '  /** 5 by default. Not more */\n  X_A: setting,\n', () => ({}))).toThrow(
    'at the end',
  );
  const loadConfig = (): object => ({ X_WAIT_MS: 5_000, X_SIZE_BYTES: 1_024, X_LIST: [] });
  expect(settingsTable('X_', source, loadConfig).split('\n').slice(2)).toEqual([
    '| `X_REDIS_URL` | required | address of Redis |',
    '| `X_WAIT_MS` | 5,000 ms | how long; see `WORKER_A_MS` |',
    '| `X_SIZE_BYTES` | 1,024 bytes | the same, in bytes |',
    '| `X_WHICH` | both | first \\| second |',
    '| `X_USER`, `X_PASSWORD` | none | a login |',
    '| `X_LIST` | none | several |',
  ]);
});

test('every setting and every metric is in a table', () => {
  for (const [name, prefix, loadConfig] of [
    ['settings gateway', 'GATEWAY_', gatewayConfig.loadConfig],
    ['settings worker', 'WORKER_', workerConfig.loadConfig],
  ] as const) {
    const named = new Set(contents[name]?.match(/(?<=`)[A-Z]+_[A-Z_]+(?=`)/g));
    const config = loadConfig({ [`${prefix}REDIS_URL`]: 'redis://127.0.0.1' });
    expect(Object.keys(config).filter((one) => !named.has(one))).toEqual([]);
    expect(contents[name]?.split('\n').filter((row) => row.endsWith('|  |'))).toEqual([]);
  }
  expect(contents['metrics']).toContain('| `penstock_queue_depth` | gateway | gauge | `model`, `kind` |');
  expect(contents['metrics']).toContain('| `penstock_redis_state` | both | gauge | `redis`, `state` |');
});
