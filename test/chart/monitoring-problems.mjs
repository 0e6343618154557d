// @ts-check
/** Faults of alerts and dashboards that can be found without another program. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const FOLDER = join(ROOT, 'deploy/observability');
const PROGRAMS = ['gateway', 'worker-launcher'];

/** Metrics without an alert, and why. */
const WITHOUT_ALERT = new Map([
  ['gen_ai_client_token_usage', 'it measures usage'],
  ['gen_ai_server_time_per_output_token_seconds', 'it differs by model and load; a too slow engine is an outlier'],
  ['penstock_requests_in_flight', 'a high value is not a fault'],
  ['penstock_queue_expected_wait_seconds', 'an estimate; the wait that requests had has an alert'],
  ['penstock_queue_told_wait_seconds', 'its error has an alert'],
  ['penstock_queue_drain_requests_per_second', 'it differs by model and load'],
  ['penstock_queue_bookings', 'a high value is not a fault'],
  ['penstock_engine_in_flight', 'a high value is not a fault'],
  ['penstock_kept_answers_total', 'failures of engines have alerts of their own'],
  ['penstock_adoptions_total', 'a gateway that stops hands its answers over'],
  ['penstock_webhooks_total', 'a receiver that fails is no fault of ours; the log and `penstock webhooks` name it'],
  ['penstock_webhooks_waiting', 'the same'],
  ['penstock_safety_check_seconds', 'it differs by service; checks without a verdict have an alert'],
  ['penstock_refusals_total', "callers break its rules; our own faults are in the answers' status"],
]);

/** Metrics that exist only if an operator wants them (`GATEWAY_USAGE_METRICS`, `OTEL_SEMCONV_STABILITY_OPT_IN`). */
const OPTIONAL = /^(?:penstock_key|gen_ai_client_operation)_/;

const LABELS = ['gen_ai_operation_name', 'gen_ai_provider_name', 'gen_ai_request_model', 'gen_ai_token_type'];
const METRIC = /\b(?:penstock_|gen_ai_|vllm:)\w+/g;
const OURS = /^(?:penstock|gen_ai)_/;
const MATCHER = /\w+\s*(?:=~|!~|!=|=)\s*"([^"]*)"/g;

/** @typedef {{ alert: string, expr: string, labels?: any, annotations?: any }} Rule */

/** @returns {string[]} a sentence each */
export function monitoringProblems() {
  const code = PROGRAMS.flatMap((folder) => sourcesOf(join(ROOT, folder)));
  const exported = exportedBy(code);
  const rules = alertRules();
  const asked = [...rules.map(({ alert, expr }) => ({ by: alert, expr })), ...boardQueries()];
  const alerted = new Set(rules.flatMap(({ expr }) => metricsIn(expr, exported)));
  const drawn = new Set(boardQueries().flatMap(({ expr }) => metricsIn(expr, exported)));
  const words = new Set(code.flatMap(({ text }) => [...text.matchAll(/'(\w+)'/g)].map(([, word]) => word)));
  const fired = firedInTests();
  const problems = rules.flatMap((rule) => ruleProblems(rule, fired));
  for (const { by, expr } of asked) {
    for (const name of metricsIn(expr, exported))
      if (!exported.has(name)) problems.push(`${by} asks for ${name}, which no program exports`);
    for (const value of valuesIn(expr))
      if (!words.has(value)) problems.push(`${by} asks for "${value}", a label's value that no program has`);
  }
  for (const name of [...exported].filter((one) => OURS.test(one) && !OPTIONAL.test(one))) {
    if (!drawn.has(name)) problems.push(`${name} is on no dashboard`);
    if (alerted.has(name) === WITHOUT_ALERT.has(name))
      problems.push(`${name} has ${alerted.has(name) ? 'an alert and' : 'neither an alert nor'} a reason for none`);
  }
  for (const name of WITHOUT_ALERT.keys()) if (!exported.has(name)) problems.push(`no program exports ${name}`);
  return problems;
}

/** @param {Rule} rule @param {ReadonlySet<string>} fired */
function ruleProblems({ alert, expr, labels, annotations }, fired) {
  const problems = [];
  if (!fired.has(alert)) problems.push(`${alert} is never seen to fire`);
  if (!labels?.severity || !annotations?.summary || !annotations?.runbook) problems.push(`${alert} lacks text`);
  if (!/[<>] [0-9.]+$/.test(expr)) problems.push(`${alert} does not end in its threshold`);
  return problems;
}

/** @returns {Rule[]} */
function alertRules() {
  return parse(read('alerts.yaml')).groups.flatMap((/** @type {any} */ group) => group.rules);
}

function firedInTests() {
  return new Set(
    parse(read('alerts.test.yaml'))
      .tests.flatMap((/** @type {any} */ test) => test.alert_rule_test)
      .filter((/** @type {any} */ { exp_alerts: alerts }) => alerts.length > 0)
      .map((/** @type {any} */ { alertname }) => alertname),
  );
}

/** Every query of the dashboards, with its panel. @returns {{ by: string, expr: string }[]} */
export function boardQueries() {
  return readdirSync(join(FOLDER, 'dashboards')).flatMap((file) =>
    JSON.parse(read(join('dashboards', file))).panels.flatMap((/** @type {any} */ panel) =>
      panel.targets.map((/** @type {any} */ { expr, legendFormat: legend }) => ({
        by: `${file}: ${panel.title}${panel.targets.length > 1 ? ` (${legend})` : ''}`,
        expr,
      })),
    ),
  );
}

/** @param {string} expr @param {ReadonlySet<string>} exported */
function metricsIn(expr, exported) {
  return [...expr.matchAll(METRIC)]
    .map(([name]) => (exported.has(name) ? name : name.replace(/_(?:bucket|sum|count)$/, '')))
    .filter((name) => !LABELS.includes(name));
}

/** The plain words that labels are compared with, without patterns, variables and numbers.  @param {string} expr */
function valuesIn(expr) {
  return [...expr.matchAll(MATCHER)].flatMap(([, values = '']) => values.split('|')).filter((v) => /^[a-z_]+$/.test(v));
}

/**
 * The names of all our metrics, from files that define some, and of the exported engine metrics.
 * @param {readonly { path: string, text: string }[]} code
 */
function exportedBy(code) {
  const found = code.flatMap(({ path, text }) => {
    const isTable = basename(path) === 'exported-metrics.ts';
    if (!isTable && !text.includes("from 'prom-client'")) return [];
    const quoted = isTable ? /^ {2}'(vllm:\w+)',$/gm : /'((?:penstock|gen_ai)_\w+)'/g;
    return [...text.matchAll(quoted)].map(([, name = '']) => name);
  });
  return new Set(found.filter((name) => !LABELS.includes(name)));
}

/** All files except the simulator's, whose metrics are vLLM's. @param {string} folder */
function sourcesOf(folder) {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.startsWith('simulator/'))
    .map((path) => ({ path, text: readFileSync(join(folder, path), 'utf8') }));
}

/** @param {string} file */
function read(file) {
  return readFileSync(join(FOLDER, file), 'utf8');
}
