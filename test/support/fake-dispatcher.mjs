// A dispatcher process for tests of the launcher's side of the channel. It answers each `engines` with a `load`, which
// reports as many text requests per engine as there are engines in the message. It sends a `suspect`
// for the first engine with port 666. On port 667 it exits, on port 668 it loops for ever; it answers `drain` by an exit.
import process from 'node:process';

process.on('message', (/** @type {{ type: string, engines?: { id: string, port: number }[] }} */ message) => {
  if (message.type === 'drain') {
    process.send?.({ type: 'drained' }, () => process.exit(0));
    return;
  }
  const engines = message.engines ?? [];
  if (engines.some(({ port }) => port === 667)) process.exit(3);
  while (engines.some(({ port }) => port === 668));
  const load = { text: engines.length, image: 0 };
  process.send?.({ type: 'load', inFlight: Object.fromEntries(engines.map(({ id }) => [id, load])) });
  const lost = engines.find(({ port }) => port === 666);
  if (lost !== undefined) process.send?.({ type: 'suspect', engine: lost.id });
});
setInterval(() => process.send?.({ type: 'alive' }), 200).unref();
process.on('disconnect', () => process.exit(0));
process.send?.({ type: 'nonsense' });
process.send?.({ type: 'ready', incarnation: `d${Object.keys(process.env).sort().join('-')}` });
