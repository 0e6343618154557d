// @ts-check
/**
 * The simplest chain with a durable queue: Express adds a job to BullMQ, and a worker in the same process forwards the request.
 * The job has only an id: body and answer stay in this process, so a crash loses them.
 */
import { randomUUID } from 'node:crypto';
import { Queue, Worker } from 'bullmq';
import express from 'express';
import { forward } from './forward.mjs';

const NAME = 'bench';
const IN_FLIGHT = 4_096;
const connection = { url: process.env['REDIS_URL'] ?? '' };
const queue = new Queue(NAME, { connection });
/** @type {Map<string, { body: string, res: express.Response }>} */
const waiting = new Map();

const worker = new Worker(
  NAME,
  async ({ data }) => {
    const request = waiting.get(data.id);
    waiting.delete(data.id);
    if (request !== undefined) await forward(request.body, request.res);
  },
  { connection, concurrency: IN_FLIGHT },
);
worker.on('error', console.error);

const app = express();
app.use(express.json({ limit: '20mb' }));
app.post('/v1/chat/completions', async (req, res) => {
  const id = randomUUID();
  waiting.set(id, { body: JSON.stringify(req.body), res });
  await queue.add('request', { id }, { removeOnComplete: true, removeOnFail: true });
});
app.listen(Number(process.env['PORT']), '127.0.0.1');
