import { expect, test } from '@jest/globals';
import { copyProblems } from '../../chart/packaged-copies.mjs';

test('the chart packages the model cards, alerts and dashboards of deploy/ unchanged', () => {
  expect(copyProblems()).toEqual([]);
});
