import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { clearLeftovers, rendezvousIn } from '../../../worker-launcher/engine/leftovers.ts';

test('the rendezvous file of an engine is found in its log; other files are not', () => {
  const line =
    '(Worker pid=9) INFO 11-23 08:01:36 [parallel_state.py:1906] world_size=1 rank=0 local_rank=0 distributed_init_method=file:///tmp/vllm_dist_0a1b2c3d4e5f60718293a4b5c6d7e8f9 backend=gloo';
  expect(rendezvousIn(line)).toBe('/tmp/vllm_dist_0a1b2c3d4e5f60718293a4b5c6d7e8f9');
  expect(rendezvousIn('distributed_init_method=file:///etc/passwd backend=gloo')).toBeUndefined();
  expect(rendezvousIn('distributed_init_method=tcp://127.0.0.1:41234 backend=nccl')).toBeUndefined();
});

test('only files with the name of a leftover are removed', () => {
  const folder = mkdtempSync(join(tmpdir(), 'penstock-leftovers-'));
  const rendezvous = join(folder, 'vllm_dist_0a1b2c3d4e5f6071');
  const weights = join(folder, 'model.safetensors');
  for (const path of [rendezvous, weights]) writeFileSync(path, '');
  expect(clearLeftovers([rendezvous, weights, '/dev/shm/psm_never-was', rendezvous])).toEqual([rendezvous]);
  expect([existsSync(rendezvous), existsSync(weights)]).toEqual([false, true]);
  rmSync(folder, { recursive: true });
});
