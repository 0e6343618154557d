// @ts-check
/** The same pass-through, if it reads the JSON of a request and writes it again. */
import express from 'express';
import { forward } from './forward.mjs';

const app = express();
app.use(express.json({ limit: '20mb' }));
app.post('/v1/chat/completions', (req, res) => void forward(JSON.stringify(req.body), res));
app.listen(Number(process.env['PORT']), '127.0.0.1');
