import type { VNode } from 'preact';
import { useEffect } from 'preact/hooks';
import type { ConsoleModel } from '#contract/console';
import { whole } from '../format.ts';
import { RefusalBox } from '../refusal-box.tsx';
import { useWatched } from '../use-watched.ts';
import { AsCode } from './as-code.tsx';
import { spoken } from './answer.ts';
import { Composer } from './composer.tsx';
import { parameterProblem, parametersOf } from './parameters.ts';
import { pictureRule } from './pictures.ts';
import type { Playground, PlaygroundState } from './playground.ts';
import { TurnView } from './turn-view.tsx';

export function PlaygroundPage({ playground, keys }: { playground: Playground; keys: boolean }): VNode {
  const state = useWatched(playground.state);
  useEffect(() => void playground.loadModels(), [playground]);
  const { models, model, turns, refusal } = state;
  const last = turns.at(-1);
  if (model === undefined) return <NoModel state={state} />;
  return (
    <div class="playground">
      <section aria-label="Conversation" class="conversation">
        <h1 class="unseen">Playground</h1>
        {turns.length === 0 && refusal === undefined ? (
          <p class="empty">
            Ask {model.name} a question{model.images === 0 ? '' : ', and drop a picture on this page to ask about it'}.
          </p>
        ) : null}
        <ol class="turns">
          {turns.map((turn, index) => (
            <li key={index}>
              <TurnView turn={turn} />
            </li>
          ))}
        </ol>
        {refusal === undefined ? null : <RefusalBox refusal={refusal} />}
        <p class="unseen" role="status">
          {last === undefined ? '' : spoken(last.answer)}
        </p>
        <Composer playground={playground} />
        <AsCode body={playground.body} task={model.task} keys={keys} />
      </section>
      <aside aria-label="Request" class="card">
        <label for="model">Model</label>
        <select id="model" value={model.name} onChange={(event) => playground.chooseModel(event.currentTarget.value)}>
          {models?.map(({ name }) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
        <ModelFacts model={model} />
        <label for="system">System text</label>
        <textarea
          id="system"
          rows={3}
          value={state.system}
          placeholder="How the model should answer; optional"
          onInput={(event) => playground.write({ system: event.currentTarget.value })}
        />
        <Parameters playground={playground} model={model} state={state} />
      </aside>
    </div>
  );
}

function NoModel({ state: { models, refusal } }: { state: PlaygroundState }): VNode {
  return (
    <div class="card narrow">
      <h1>Playground</h1>
      {refusal === undefined ? null : <RefusalBox refusal={refusal} title="No models" />}
      {models === undefined || models.length > 0 ? (
        <p role="status">{refusal === undefined ? 'Reading the models …' : ''}</p>
      ) : (
        <p>Your key may use no model of this gateway. Ask its operator for one.</p>
      )}
    </div>
  );
}

function ModelFacts({ model }: { model: ConsoleModel }): VNode {
  const ready = model.readyEngines;
  return (
    <p class="hint">
      {pictureRule({ name: model.name, most: model.images })} {whole(model.contextTokens)} tokens of context, answers up
      to {whole(model.maxOutputTokens)}.{' '}
      {ready === 0 ? 'No engine is ready: requests wait for one.' : `Engines that are ready: ${whole(ready)}.`}
    </p>
  );
}

function Parameters({
  playground,
  model,
  state,
}: {
  playground: Playground;
  model: ConsoleModel;
  state: PlaygroundState;
}): VNode {
  return (
    <fieldset>
      <legend>Parameters</legend>
      {parametersOf(model).map((parameter) => {
        const { name, label, unset } = parameter;
        const problem = parameterProblem(parameter, state.typed[name]);
        return (
          <div key={name} class="parameter">
            <label for={name}>
              {label} <code>{name}</code>
            </label>
            <input
              id={name}
              inputMode="decimal"
              autocomplete="off"
              maxLength={20}
              value={state.typed[name]}
              placeholder={unset}
              aria-invalid={problem === undefined ? undefined : true}
              aria-describedby={`${name}-problem`}
              onInput={(event) => playground.setParameter(name, event.currentTarget.value)}
            />
            <p id={`${name}-problem`} class="wrong">
              {problem ?? ''}
            </p>
          </div>
        );
      })}
    </fieldset>
  );
}
