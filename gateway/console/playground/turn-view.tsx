import type { VNode } from 'preact';
import { FactsList } from '../facts-list.tsx';
import { duration, tenths, whole } from '../format.ts';
import { RefusalBox } from '../refusal-box.tsx';
import { tokensPerSecond, type Answer } from './answer.ts';
import type { Turn } from './conversation.ts';

/** A question and its answer. Both are shown as text, so nothing in them is read as HTML. */
export function TurnView({ turn: { question, answer } }: { turn: Turn }): VNode {
  return (
    <>
      <article class="question" aria-label="Your question">
        {question.pictures.map(({ name, dataUri }, index) => (
          <img key={index} src={dataUri} alt={`picture ${name}`} />
        ))}
        {question.text === '' ? null : <p class="words">{question.text}</p>}
      </article>
      <article class="answer" aria-label="Answer" data-state={answer.state}>
        <Words answer={answer} />
        {answer.refusal === undefined || answer.text === '' ? null : (
          <RefusalBox refusal={answer.refusal} title="Broken off" />
        )}
        <Figures answer={answer} />
      </article>
    </>
  );
}

function Words({ answer: { state, text, position, etaMs } }: { answer: Answer }): VNode {
  // The first token of an answer often begins with a blank.
  if (text !== '') return <p class="words">{text.trimStart()}</p>;
  if (state === 'sent') return <p class="pending">Sent …</p>;
  if (state === 'waiting')
    return (
      <p class="pending">
        Waits in the queue, place {whole(position)}
        {etaMs === undefined ? '' : `, about ${duration(etaMs)} more`} …
      </p>
    );
  return <p class="pending">{state === 'complete' ? 'The answer is empty.' : 'Stopped before the first word.'}</p>;
}

function Figures({ answer }: { answer: Answer }): VNode {
  const { ttftMs, queueMs, usage, finish, state } = answer;
  const facts: [string, string | undefined][] = [
    ['first token', ttftMs === undefined ? undefined : duration(ttftMs)],
    ['queue', queueMs === undefined ? undefined : duration(queueMs)],
    ['tokens/s', ttftMs === undefined ? undefined : tenths(tokensPerSecond(answer))],
    ['prompt', usage === undefined ? undefined : `${whole(usage.prompt)} tokens`],
    ['answer', usage === undefined ? undefined : `${whole(usage.answer)} tokens`],
    ['end', state === 'stopped' ? 'stopped by you' : finish],
  ];
  return <FactsList facts={facts} />;
}
