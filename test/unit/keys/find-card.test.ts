import { expect, test } from '@jest/globals';
import { parseCatalog } from '../../../gateway/contract/model-card.ts';
import { readYamlFolder } from '../../../gateway/runtime/yaml-folder.ts';
import { ANYONE, NOBODY, type Caller } from '../../../gateway/keys/caller.ts';
import { findCard } from '../../../gateway/request/prepare.ts';

const catalog = parseCatalog(readYamlFolder('deploy/models/more'));
const oslo: Caller = { ...ANYONE, id: 'oslo', mayUse: ({ name }) => name === 'Phi-4' };
const find = (name: string | undefined, caller: Caller, unknownModel: 'refuse' | 'single' = 'refuse'): string =>
  findCard({ catalog, unknownModel }, name, caller).name;
const refused = (...args: Parameters<typeof find>): unknown => {
  try {
    return find(...args);
  } catch (error) {
    return error;
  }
};

test('a key for one of several cards needs no model in the request, like an Azure endpoint with one model', () => {
  expect(find(undefined, oslo)).toBe('Phi-4');
  expect(refused(undefined, ANYONE)).toMatchObject({ code: 'no_model_name', status: 400 });
});

test('a model outside the scope is forbidden, by any of its names', () => {
  for (const name of ['Phi-3.5-vision-instruct', 'microsoft/Phi-3.5-vision-instruct'])
    expect(refused(name, oslo)).toMatchObject({
      code: 'forbidden',
      message: 'the key oslo does not allow Phi-3.5-vision-instruct',
    });
  expect(refused(undefined, NOBODY)).toMatchObject({ code: 'forbidden' });
  expect(refused('Phi-4', NOBODY)).toMatchObject({ code: 'forbidden' });
});

test('an unknown name is not found, and the refusal lists only the key’s models; with one model it means that one', () => {
  expect(refused('gpt-4o', oslo)).toMatchObject({
    code: 'model_not_found',
    message: 'the model "gpt-4o" is not served here; served: Phi-4',
  });
  expect(find('gpt-4o', oslo, 'single')).toBe('Phi-4');
  expect(refused('gpt-4o', ANYONE, 'single')).toMatchObject({ code: 'model_not_found' });
});

test('a deployment is another name of its card', () => {
  const files = [{ file: 'a.yaml', value: catalog.cards.find(({ name }) => name === 'Phi-4') }];
  const named = parseCatalog(files, [['blue', 'microsoft/phi-4']]);
  expect(named.find('blue')?.name).toBe('Phi-4');
  expect([...named.deployments.keys()]).toEqual(['blue']);
  expect(() => parseCatalog(files, [['blue', 'gpt-4o']])).toThrow(
    'the deployment blue names the model card gpt-4o, which does not',
  );
  const both = [...files, { file: 'b.yaml', value: catalog.cards.find(({ name }) => name !== 'Phi-4') }];
  expect(() => parseCatalog(both, [['Phi-4', 'Phi-3.5-vision-instruct']])).toThrow('the name of another model');
});
