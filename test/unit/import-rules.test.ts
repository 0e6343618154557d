import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';

/** A file and an import that its folder must not have. One sample per row of the layer rules at least. */
const FORBIDDEN: readonly (readonly [file: string, imported: string])[] = [
  ['gateway/contract/sample.ts', 'node:fs'],
  ['gateway/contract/sample.ts', '#runtime/log'],
  ['gateway/contract/sample.ts', '../relay/relay.ts'],
  ['gateway/contract/sample.ts', 'ioredis'],
  ['gateway/runtime/sample.ts', '#contract/job'],
  ['gateway/runtime/sample.ts', '../http/answer.ts'],
  ['gateway/runtime/sample.ts', 'express'],
  ['gateway/dialects/sample.ts', 'express'],
  ['gateway/dialects/sample.ts', '../admission/admission.ts'],
  ['gateway/dialects/sample.ts', 'node:fs'],
  ['gateway/openapi/sample.ts', 'express'],
  ['gateway/openapi/sample.ts', '../http/answer.ts'],
  ['gateway/admission/sample.ts', 'express'],
  ['gateway/admission/sample.ts', '../http/answer.ts'],
  ['gateway/relay/sample.ts', '../dialects/openai.ts'],
  ['gateway/relay/sample.ts', 'undici'],
  ['gateway/intake/sample.ts', 'express'],
  ['gateway/intake/sample.ts', '../http/answer.ts'],
  ['gateway/images/sample.ts', 'ioredis'],
  ['gateway/images/sample.ts', '../http/answer.ts'],
  ['gateway/keys/sample.ts', 'express'],
  ['gateway/keys/sample.ts', '../admission/admission.ts'],
  ['gateway/card-import/sample.ts', 'node:fs'],
  ['gateway/card-import/sample.ts', '../prepare.ts'],
  ['gateway/http/sample.ts', 'bullmq'],
  ['gateway/http/sample.ts', 'ioredis'],
  ['gateway/http/sample.ts', '../main.ts'],
  ['gateway/sample.ts', '../worker-launcher/config.ts'],
  ['gateway/sample.ts', '../test/support/redis.ts'],
  ['worker-launcher/engine/sample.ts', 'bullmq'],
  ['worker-launcher/engine/sample.ts', 'express'],
  ['worker-launcher/engine/sample.ts', '../dispatch/dispatcher.ts'],
  ['worker-launcher/preflight/sample.ts', 'bullmq'],
  ['worker-launcher/preflight/sample.ts', '../dispatch/dispatcher.ts'],
  ['worker-launcher/dispatch/sample.ts', 'node:child_process'],
  ['worker-launcher/dispatch/sample.ts', 'express'],
  ['worker-launcher/sample.ts', '../gateway/relay/relay.ts'],
  ['worker-launcher/sample.ts', './main.ts'],
  ['worker-launcher/simulator/sample.ts', '#runtime/log'],
  ['worker-launcher/simulator/sample.ts', '../config.ts'],
];
const ALLOWED: readonly (readonly [file: string, imported: string])[] = [
  ['gateway/contract/fine.ts', 'zod'],
  ['gateway/contract/fine.ts', './job.ts'],
  ['gateway/runtime/fine.ts', 'ioredis'],
  ['gateway/dialects/fine.ts', '#contract/chat'],
  ['gateway/openapi/fine.ts', '../dialects/openai.ts'],
  ['gateway/images/fine.ts', '../intake/picture-bytes.ts'],
  ['gateway/http/fine.ts', '../relay/relay.ts'],
  ['worker-launcher/engine/fine.ts', 'undici'],
  ['worker-launcher/dispatch/fine.ts', '../engine/stream.ts'],
];

const Report = z.object({ diagnostics: z.array(z.object({ code: z.string(), filename: z.string() })) });
let refused = new Set<string>();
let folder = '';

function nameOf(list: 'no' | 'yes', index: number, file: string): string {
  return join(dirname(file), `${list}-${String(index)}.ts`);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penstock-lint-'));
  await cp('.oxlintrc.json', join(folder, '.oxlintrc.json'));
  const write = async (list: 'no' | 'yes', samples: typeof FORBIDDEN): Promise<void> => {
    for (const [index, [file, imported]] of samples.entries()) {
      const path = join(folder, nameOf(list, index, file));
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, `import { x } from '${imported}';\nexport const y = x;\n`);
    }
  };
  await write('no', FORBIDDEN);
  await write('yes', ALLOWED);
  const output = await new Promise<string>((done) => {
    execFile(resolve('node_modules/.bin/oxlint'), ['-f', 'json'], { cwd: folder }, (_error, stdout) => done(stdout));
  });
  const { diagnostics } = Report.parse(JSON.parse(output));
  refused = new Set(diagnostics.filter(({ code }) => code.includes('no-restricted-imports')).map((d) => d.filename));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test.each(FORBIDDEN.map((row, index) => [...row, index] as const))(
  '%s must not import %s',
  (file, _imported, index) => {
    expect(refused).toContain(nameOf('no', index, file));
  },
);
test.each(ALLOWED.map((row, index) => [...row, index] as const))('%s may import %s', (file, _imported, index) => {
  expect(refused).not.toContain(nameOf('yes', index, file));
});
