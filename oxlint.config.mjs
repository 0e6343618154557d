// @ts-check
/**
 * Lint: the rules for all code, and one table of the imports that each folder ("room") may use. `test/unit/import-rules.test.ts`
 * tests each row of it.
 *
 * @typedef {object} Room
 * @property {string} path
 * @property {string} promise its task, and what it must not depend on
 * @property {readonly string[]} may other rooms and loose files of the same program that it may import
 * @property {string} [not] a regular expression of packages, and of names behind `#`, that it must not import
 * @property {readonly string[]} samples names that `not` refuses
 */

const HTTP = '^(express|cors|undici|node:https?)';
const REDIS = '^(bullmq|ioredis|rate-limiter-flexible)';
const OUTSIDE = '^(express|cors|undici|bullmq|ioredis|pino|prom-client|node:(net|tls|https?|fs|child_process))';

const SIMULATOR = 'worker-launcher/simulator';
const NOT_IN_SIMULATOR = '^(#contract/|#runtime/|bullmq|ioredis|express)';
/** The folders of the simulator, lowest floor first, and what each may import. */
const SIMULATOR_ROOMS = {
  'command-line': [],
  http: [],
  pictures: ['command-line', 'http'],
  text: ['http', 'pictures'],
  metrics: ['http'],
  engine: ['command-line', 'http', 'log.ts', 'metrics', 'pictures', 'text'],
  faults: ['command-line', 'engine', 'http', 'log.ts'],
  generate: ['command-line', 'engine', 'faults', 'http', 'text'],
  chat: ['command-line', 'engine', 'generate', 'http', 'pictures', 'simulator.ts', 'text'],
  completions: ['engine', 'generate', 'http', 'simulator.ts', 'text'],
  responses: ['chat', 'engine', 'generate', 'http', 'simulator.ts', 'text'],
  server: ['chat', 'command-line', 'completions', 'generate', 'http', 'responses', 'simulator.ts'],
  process: ['command-line', 'engine', 'log.ts', 'simulator.ts'],
};

/** A room inside another one comes after it, because the last matching rule counts. @type {readonly Room[]} */
export const ROOMS = [
  {
    path: 'gateway/contract',
    promise: 'a leaf: data that crosses a process boundary; imports only zod and itself',
    may: [],
    not: '^([^.z]|\\.[^./]|z[^o]|zo[^d]|zod.)',
    samples: ['node:fs', 'ioredis', '#runtime/log'],
  },
  {
    path: 'gateway/runtime',
    promise: 'a leaf: code that any process needs; independent of chat and jobs',
    may: [],
    not: '^(#contract/|#runtime/|express|undici|bullmq)',
    samples: ['#contract/job', 'express'],
  },
  {
    path: 'gateway/intake',
    promise: 'pure: the bytes, structure and pictures of a body, within limits',
    may: ['failure.ts'],
    not: `^#runtime/|${OUTSIDE}`,
    samples: ['express', 'node:net', '#runtime/log'],
  },
  {
    path: 'gateway/dialects',
    promise: 'pure: one folder per API; bytes and objects in, bytes and objects out',
    may: ['failure.ts', 'request'],
    not: '^(node:|#runtime/|express|undici|bullmq|ioredis|pino|prom-client)',
    samples: ['express', 'node:fs', '#runtime/log'],
  },
  {
    path: 'gateway/openapi',
    promise: 'pure: the document of the API, made from cards, settings and dialects',
    may: ['failure.ts', 'dialects', 'request'],
    not: '^(node:|#runtime/|express|undici|bullmq|ioredis|pino|prom-client)',
    samples: ['express', '#runtime/log'],
  },
  {
    path: 'gateway/images',
    promise: 'fetches pictures through the guard and measures them, nothing else',
    may: ['failure.ts', 'intake'],
    not: `${REDIS}|^express`,
    samples: ['express', 'ioredis'],
  },
  {
    path: 'gateway/request',
    promise: 'the normalised request, and the rules of its card; no Redis, no express',
    may: ['failure.ts', 'images', 'intake', 'keys'],
    not: `${REDIS}|${HTTP}`,
    samples: ['ioredis', 'express'],
  },
  {
    path: 'gateway/safety',
    promise: 'asks a service about prompts and answers, through the address guard; no Redis, no express',
    may: ['failure.ts', 'images', 'intake', 'request'],
    not: `${REDIS}|^(express|cors)`,
    samples: ['ioredis', 'express'],
  },
  {
    path: 'gateway/keys',
    promise: 'the owner and the scopes of a key; no stage of a request',
    may: ['failure.ts'],
    not: `${REDIS}|${HTTP}`,
    samples: ['ioredis', 'express'],
  },
  {
    path: 'gateway/identity',
    promise: 'who bears a token: providers, their keys and roles; no stage of a request',
    may: ['failure.ts', 'keys'],
    not: `${REDIS}|${HTTP}`,
    samples: ['ioredis', 'express'],
  },
  {
    path: 'gateway/cards',
    promise: 'pure: turns specification files into cards, and finds the problems of a card',
    may: [],
    not: `^#runtime/|${OUTSIDE}`,
    samples: ['node:fs', '#runtime/yaml-folder'],
  },
  {
    path: 'gateway/queue',
    promise: 'Redis before an engine: reservations, jobs and bodies; no HTTP, no dialect',
    may: ['failure.ts', 'intake'],
    not: HTTP,
    samples: ['express', 'undici'],
  },
  {
    path: 'gateway/usage',
    promise: 'what keys have used, in Redis: what the gateway books of it, and the report; no HTTP',
    may: [],
    not: HTTP,
    samples: ['express'],
  },
  {
    path: 'gateway/limits',
    promise: 'what a key may use in a minute and a day, counted in Redis; no HTTP, no queue',
    may: ['failure.ts', 'keys'],
    not: `^bullmq|${HTTP}`,
    samples: ['express', 'bullmq'],
  },
  {
    path: 'gateway/workers',
    promise: 'which workers serve, and how many are needed',
    may: [],
    not: HTTP,
    samples: ['express'],
  },
  {
    path: 'gateway/relay',
    promise: 'Redis to frames of one request, in order and fenced; no HTTP, no dialect',
    may: ['failure.ts'],
    not: HTTP,
    samples: ['express', 'undici'],
  },
  {
    path: 'gateway/answer',
    promise: 'the attempts of one request, and the answer to its client; no express, no Redis',
    may: ['answer/engine', 'failure.ts', 'intake', 'queue', 'relay', 'request', 'usage', 'workers'],
    not: `${REDIS}|${HTTP}`,
    samples: ['express', 'ioredis'],
  },
  {
    path: 'gateway/answer/engine',
    promise: 'pure: interprets the bytes of an engine',
    may: ['failure.ts', 'request'],
    not: `^#runtime/|${OUTSIDE}`,
    samples: ['express', 'ioredis', '#runtime/log'],
  },
  {
    path: 'gateway/webhooks',
    promise: 'events of responses that are over: their queue, and their delivery through the address guard; no express',
    may: ['failure.ts', 'images'],
    not: '^(express|cors|undici)',
    samples: ['express', 'undici'],
  },
  {
    path: 'gateway/durable',
    promise: 'answers that outlive their connection: records, logs, owners, readers; no express',
    may: ['answer', 'answer/engine', 'failure.ts', 'intake', 'queue', 'relay', 'request', 'webhooks', 'workers'],
    not: HTTP,
    samples: ['express'],
  },
  {
    path: 'gateway/http',
    promise: 'the edge: only this folder imports express',
    may: [
      'answer',
      'dialects',
      'durable',
      'failure.ts',
      'identity',
      'intake',
      'keys',
      'limits',
      'metrics.ts',
      'openapi',
      'queue',
      'request',
      'safety',
      'usage',
      'webhooks',
    ],
    not: REDIS,
    samples: ['bullmq', 'ioredis'],
  },
  {
    path: 'gateway/console',
    promise: 'a front-end build, for browsers; imports nothing of the rest but #contract/console',
    may: [],
    not: '^(node:|#runtime/|#contract/([^c]|c[^o]|co[^n]|con[^s])|express|cors|undici|bullmq|ioredis|pino|prom-client)',
    samples: ['node:fs', '#contract/job', '#contract/control', '#runtime/log', 'express'],
  },
  {
    path: 'worker-launcher/engine',
    promise: 'one engine process; no queue, and independent of its callers',
    may: [],
    not: `${REDIS}|^express`,
    samples: ['bullmq', 'express'],
  },
  {
    path: 'worker-launcher/dispatch',
    promise: 'its own process: jobs to the emptiest ready engine, bytes back; starts no process',
    may: ['config.ts', 'engine'],
    not: '^(node:)?(child_process|express)',
    samples: ['node:child_process', 'express'],
  },
  {
    path: 'worker-launcher/preflight',
    promise: 'compares the machine and Redis with the card: passed and missing requirements, the plan',
    may: ['config.ts', 'engine'],
    not: '^(bullmq|express)',
    samples: ['bullmq'],
  },
  {
    path: 'worker-launcher/fleet',
    promise: 'long-running parts: engines, dispatchers, GPU watch, downloads',
    may: ['config.ts', 'dispatch', 'engine', 'preflight'],
    not: `${REDIS}|^express`,
    samples: ['express', 'ioredis'],
  },
  {
    path: SIMULATOR,
    promise: 'replaces `vllm serve`, started as a child like it; imports no other room',
    may: [],
    not: NOT_IN_SIMULATOR,
    samples: ['#runtime/log', 'express'],
  },
  ...Object.entries(SIMULATOR_ROOMS).map(([folder, may]) => ({
    path: `${SIMULATOR}/${folder}`,
    promise: `a floor of the simulator: it imports ${may.join(', ') || 'no other'}`,
    may,
    not: NOT_IN_SIMULATOR,
    samples: ['#runtime/log', 'express'],
  })),
];

/** Files of a program outside all rooms; a room may import only these. The simulator is a program too. */
export const LOOSE_FILES = {
  gateway: [
    'main.ts',
    'app.ts',
    'config.ts',
    'config-parts.ts',
    'console-parts.ts',
    'read-settings.ts',
    'metrics.ts',
    'generation-metrics.ts',
    'failure.ts',
  ],
  'worker-launcher': ['main.ts', 'config.ts', 'metrics.ts', 'probes.ts'],
  [SIMULATOR]: ['main.ts', 'simulator.ts', 'log.ts'],
};
export const PROGRAMS = /** @type {const} */ (['gateway', 'worker-launcher', SIMULATOR]);
/** The deepest folder below a room. */
const DEEPEST = 2;

const NO_TESTS = { regex: '(^|/)test/', message: 'product code does not import tests' };
const OTHER_PROGRAM = {
  regex: '^\\.\\./',
  message: 'programs share #contract and #runtime only',
};
const NO_MAIN = { regex: '(^|/)main\\.ts$', message: 'no file imports main.ts' };

/** @param {Room} room @returns {{ room: string[], program: keyof typeof LOOSE_FILES }} its folders below its program */
export function placeOf({ path }) {
  const program = path.startsWith(`${SIMULATOR}/`)
    ? SIMULATOR
    : path.startsWith('gateway/')
      ? 'gateway'
      : 'worker-launcher';
  return { room: path.slice(program.length + 1).split('/'), program };
}

/** @param {Room} room @returns {string[]} rooms and loose files of its program that it must not import */
export function deniedTo(room) {
  const { program, room: own } = placeOf(room);
  const rooms = ROOMS.filter((one) => placeOf(one).program === program).map((one) => placeOf(one).room.join('/'));
  return [...rooms, ...LOOSE_FILES[program]].filter(
    (one) => one !== own.join('/') && !room.may.some((may) => one === may || one.startsWith(`${may}/`)),
  );
}

/**
 * One override per depth below the room, because `../` means another folder at each depth.
 * @param {Room} room
 */
function importRules(room) {
  const { room: own } = placeOf(room);
  const message = `${room.path} is ${room.promise}`;
  const denied = deniedTo(room).map((one) => (one.endsWith('.ts') ? one.replace('.', '\\.') : `${one}/`));
  return Array.from({ length: DEEPEST + 1 }, (_, below) => {
    const up = own.length + below;
    const patterns = [
      NO_TESTS,
      NO_MAIN,
      { regex: `^(\\.\\./){${up}}(\\.\\./|${denied.join('|')})`, message },
      // For a room inside another one: the folders around it belong to that room.
      ...Array.from({ length: own.length - 1 }, (_one, level) => ({
        regex: `^(\\.\\./){${up - 1 - level}}[^./]`,
        message,
      })),
      ...(room.not === undefined ? [] : [{ regex: room.not, message }]),
    ];
    return {
      files: [`${room.path}/${'*/'.repeat(below)}*.{ts,tsx}`],
      rules: { 'no-restricted-imports': ['error', { patterns }] },
    };
  });
}

// oxlint-disable-next-line import/no-default-export -- oxlint requires it
export default {
  plugins: ['typescript', 'import', 'unicorn', 'oxc', 'node', 'promise'],
  categories: { correctness: 'error' },
  env: { node: true, es2024: true },
  ignorePatterns: ['dist', 'node_modules', '.penstock', '.cache', 'test/fixtures'],
  rules: {
    'import/no-cycle': ['error', { ignoreTypes: false }],
    'import/no-default-export': 'error',
    'typescript/no-explicit-any': 'error',
    'typescript/no-floating-promises': 'error',
    'typescript/no-misused-promises': ['error', { checksVoidReturn: false }],
    'typescript/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    'unicorn/no-new-array': 'off',
    'typescript/consistent-type-imports': 'error',
    'typescript/ban-ts-comment': 'error',
    'typescript/no-non-null-assertion': 'error',
    'typescript/no-unsafe-assignment': 'error',
    'typescript/no-unsafe-argument': 'error',
    'typescript/no-unsafe-call': 'error',
    'typescript/no-unsafe-member-access': 'error',
    'typescript/no-unsafe-return': 'error',
    eqeqeq: 'error',
    'no-console': 'error',
    'prefer-const': 'error',
    'no-param-reassign': 'error',
  },
  overrides: [
    {
      files: ['gateway/*.ts', 'worker-launcher/*.ts'],
      rules: { 'no-restricted-imports': ['error', { patterns: [NO_TESTS, NO_MAIN, OTHER_PROGRAM] }] },
    },
    ...ROOMS.flatMap(importRules),
    { files: ['gateway/console/**'], env: { browser: true, node: false } },
    // Runs in the build.
    { files: ['gateway/console/vite.config.ts'], env: { node: true }, rules: { 'no-restricted-imports': 'off' } },
    {
      files: ['deploy/local/**', 'deploy/bench/**', 'charts/**', 'test/**/*.mjs', 'oxlint.config.mjs'],
      rules: {
        'no-console': 'off',
        'typescript/no-redundant-type-constituents': 'off',
        'typescript/no-base-to-string': 'off',
        'typescript/no-unsafe-assignment': 'off',
        'typescript/no-unsafe-argument': 'off',
        'typescript/no-unsafe-call': 'off',
        'typescript/no-unsafe-member-access': 'off',
        'typescript/no-unsafe-return': 'off',
      },
    },
    { files: ['test/**/*.ts'], rules: { 'typescript/no-unsafe-assignment': 'off' } },
  ],
};
