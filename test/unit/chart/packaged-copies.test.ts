import { expect, test } from '@jest/globals';
import { copyProblems } from '../../chart/packaged-copies.mjs';

test('the chart packages the model cards, alerts and dashboards as they are in deploy/', () => {
  expect(copyProblems()).toEqual([]);
});
