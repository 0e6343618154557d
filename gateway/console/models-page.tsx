import type { VNode } from 'preact';
import { useEffect } from 'preact/hooks';
import type { ConsoleModel } from '#contract/console';
import { whole } from './format.ts';
import type { Playground } from './playground/playground.ts';
import { pictureRule } from './playground/pictures.ts';
import { RefusalBox } from './refusal-box.tsx';
import { useWatched } from './use-watched.ts';

export function ModelsPage({ playground }: { playground: Playground }): VNode {
  const { models, refusal } = useWatched(playground.state);
  useEffect(() => void playground.loadModels(), [playground]);
  return (
    <>
      <h1>Models</h1>
      {refusal === undefined || models !== undefined ? null : <RefusalBox refusal={refusal} title="No models" />}
      {models === undefined && refusal === undefined ? <p class="empty">Reading the models …</p> : null}
      {models?.length === 0 ? <p class="empty">Your key may use no model of this gateway.</p> : null}
      <div class="cards">
        {models?.map((model) => (
          <ModelCard key={model.name} model={model} />
        ))}
      </div>
    </>
  );
}

function ModelCard({ model }: { model: ConsoleModel }): VNode {
  const { name, readyEngines, notice, rules } = model;
  const facts: [string, string | undefined][] = [
    ['version', model.version],
    ['publisher', model.publisher],
    ['licence', model.license],
    ['task', model.task],
    ['input', model.input.join(', ')],
    ['languages', model.languages.join(', ')],
    ['context', `${whole(model.contextTokens)} tokens`],
    ['answer', `up to ${whole(model.maxOutputTokens)} tokens, ${whole(model.defaultOutputTokens)} if not said`],
    ['tools', model.tools ? 'yes' : 'no'],
    ['released', model.released],
    ['retired on Azure', model.retired],
    ['other names', [...model.aliases, ...model.deployments].join(', ')],
    ['machines', model.machines.join(', ')],
  ];
  return (
    <article class="card" aria-label={name}>
      <div class="heading">
        <h2>{name}</h2>
        <p class={`tag ${readyEngines > 0 ? 'good' : 'bad'}`}>
          {readyEngines > 0 ? `engines ready: ${whole(readyEngines)}` : 'no engine is ready'}
        </p>
      </div>
      <dl class="list">
        {facts.map(([term, value]) =>
          value === undefined || value === '' ? null : (
            <div key={term}>
              <dt>{term}</dt>
              <dd>{value}</dd>
            </div>
          ),
        )}
      </dl>
      <h3>Rules</h3>
      <ul>
        {(rules.length > 0 ? rules : [pictureRule({ name, most: model.images })]).map((rule) => (
          <li key={rule}>{rule}</li>
        ))}
      </ul>
      {notice === undefined ? null : (
        <>
          <h3>Responsible use</h3>
          <p>
            {notice.text}{' '}
            {/^https?:/.test(notice.link) ? (
              <a href={notice.link} rel="noreferrer noopener" target="_blank">
                The publisher’s text
              </a>
            ) : null}
          </p>
        </>
      )}
    </article>
  );
}
