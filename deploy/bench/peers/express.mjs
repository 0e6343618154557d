// @ts-check
/** The program that many teams write first: Express forwards the bytes of a request to one engine. */
import express from 'express';
import { forward } from './forward.mjs';

const app = express();
app.post('/v1/chat/completions', (req, res) => void forward(req, res));
app.listen(Number(process.env['PORT']), '127.0.0.1');
