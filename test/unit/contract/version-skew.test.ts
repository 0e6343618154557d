import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { Control } from '#contract/control';
import { decodeFrames, type Frame } from '#contract/frame';
import { JobV1, writtenJob } from '#contract/job';
import { redisKeys } from '#contract/redis-keys';
import { WorkerReport, writtenReport } from '#contract/registry';
import { encodeFrame } from '../../support/encode-frame.ts';

/**
 * Messages of version 1 of the contract. They never change, because programs before and after an upgrade or rollback
 * write and read exactly these. Fields that a newer version adds are optional, and older readers ignore them.
 */
const recorded = (name: string): unknown => JSON.parse(readFileSync(`test/fixtures/contract-v1/${name}.json`, 'utf8'));

/** The form of release 0.1. */
const RequiredOfJobs = z.looseObject({ v: z.literal(1), priority: z.int().positive(), keyId: z.string() });
const Recorded = z.object({
  bytes: z.string(),
  frames: z.array(
    z.object({
      type: z.enum(['claimed', 'head', 'data', 'end', 'error', 'heartbeat']),
      requestId: z.string(),
      epoch: z.number(),
      attempt: z.number(),
      payload: z.string(),
    }),
  ),
});

test('jobs of an older gateway are read, and a job has all fields that an older dispatcher requires', () => {
  const read = JobV1.parse(recorded('job'));
  expect(recorded('job')).toMatchObject(read);
  expect(RequiredOfJobs.parse(writtenJob(read))).toMatchObject(read);
});

test('an older worker’s report is read, with all engines, and a report has all fields that an older gateway requires', () => {
  const read = WorkerReport.parse(recorded('worker-report'));
  expect(recorded('worker-report')).toMatchObject(read);
  expect(JSON.parse(writtenReport(read))).toEqual(recorded('worker-report'));
});

test('control messages of an older gateway are understood', () => {
  expect(z.array(Control).parse(recorded('control'))).toEqual(recorded('control'));
});

test('frames have the same bytes in both directions', () => {
  const { bytes, frames } = Recorded.parse(recorded('frames'));
  const ours: Frame[] = frames.map((frame) => ({ ...frame, payload: Buffer.from(frame.payload) }));
  expect(decodeFrames(Buffer.from(bytes, 'hex'))).toEqual(ours);
  expect(Buffer.concat(ours.map((frame) => encodeFrame(frame))).toString('hex')).toBe(bytes);
});

test('both use the same Redis keys', () => {
  expect({
    queuePrefix: redisKeys.queuePrefix('m'),
    body: redisKeys.body('m', 'r'),
    reservations: redisKeys.reservations('m'),
    reservedBytes: redisKeys.reservedBytes('m'),
    replies: redisKeys.replies('g'),
    workers: redisKeys.workers(),
    worker: redisKeys.worker('d'),
    control: redisKeys.control('d'),
  }).toEqual(recorded('keys'));
});

test('fields that a newer program adds are ignored', () => {
  const job = recorded('job');
  expect(JobV1.parse({ ...z.record(z.string(), z.unknown()).parse(job), later: 1 })).toEqual(JobV1.parse(job));
  const report = recorded('worker-report');
  const later = { ...z.record(z.string(), z.unknown()).parse(report), later: 1 };
  expect(WorkerReport.parse(later)).toEqual(WorkerReport.parse(report));
});
