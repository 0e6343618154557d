// @ts-check
/**
 * Lint: the rules for all code, and one table of which room (folder) may import what. `test/unit/import-rules.test.ts` shows
 * that each row refuses and allows what it says.
 *
 * @typedef {object} Room
 * @property {string} path
 * @property {string} promise what it does, and what it knows nothing of
 * @property {readonly string[]} may other rooms and loose files of the same program that it may import
 * @property {string} [not] a regular expression: packages, and names behind `#`, that it must not import
 * @property {readonly string[]} samples names that `not` refuses
 */

const HTTP = '^(express|cors|undici|node:https?)';
const REDIS = '^(bullmq|ioredis)';
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

/** A room in another one stands after it: the last rule that fits a file counts. @type {readonly Room[]} */
export const ROOMS = [
  {
    path: 'gateway/contract',
    promise: 'a leaf: what crosses a process boundary; zod and itself only',
    may: [],
    not: '^([^.z]|\\.[^./]|z[^o]|zo[^d]|zod.)',
    samples: ['node:fs', 'ioredis', '#runtime/log'],
  },
  {
    path: 'gateway/runtime',
    promise: 'a leaf: what any process needs; knows nothing of chat or jobs',
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
    promise: 'pure: one folder an API; bytes and objects in, bytes and objects out',
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
    promise: 'pictures are fetched through the guard and measured, nothing else',
    may: ['failure.ts', 'intake'],
    not: `${REDIS}|^express`,
    samples: ['express', 'ioredis'],
  },
  {
    path: 'gateway/request',
    promise: 'the normalised request, and what a card makes of it; no Redis, no express',
    may: ['failure.ts', 'images', 'intake', 'keys'],
    not: `${REDIS}|${HTTP}`,
    samples: ['ioredis', 'express'],
  },
  {
    path: 'gateway/keys',
    promise: 'whose key it is and what it may do; no stage of a request',
    may: ['failure.ts'],
    not: `${REDIS}|${HTTP}`,
    samples: ['ioredis', 'express'],
  },
  {
    path: 'gateway/cards',
    promise: 'pure: specification files become cards; what is wrong with a card',
    may: [],
    not: `^#runtime/|${OUTSIDE}`,
    samples: ['node:fs', '#runtime/yaml-folder'],
  },
  {
    path: 'gateway/queue',
    promise: 'Redis before an engine: places, jobs and bodies; no HTTP, no dialect',
    may: ['failure.ts', 'intake'],
    not: HTTP,
    samples: ['express', 'undici'],
  },
  {
    path: 'gateway/workers',
    promise: 'who is there to serve, and how many are wanted',
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
    promise: 'the attempts of one request, and what its client gets; no express, no Redis',
    may: ['answer/engine', 'failure.ts', 'intake', 'queue', 'relay', 'request', 'workers'],
    not: `${REDIS}|${HTTP}`,
    samples: ['express', 'ioredis'],
  },
  {
    path: 'gateway/answer/engine',
    promise: 'pure: what the bytes of an engine mean',
    may: ['failure.ts', 'request'],
    not: `^#runtime/|${OUTSIDE}`,
    samples: ['express', 'ioredis', '#runtime/log'],
  },
  {
    path: 'gateway/http',
    promise: 'the edge: express here alone',
    may: ['answer', 'dialects', 'failure.ts', 'intake', 'keys', 'metrics.ts', 'openapi', 'queue', 'request'],
    not: REDIS,
    samples: ['bullmq', 'ioredis'],
  },
  {
    path: 'worker-launcher/engine',
    promise: 'one engine process; no queue, and nothing of who asks it',
    may: [],
    not: `${REDIS}|^express`,
    samples: ['bullmq', 'express'],
  },
  {
    path: 'worker-launcher/dispatch',
    promise: 'its own process: jobs to the emptiest ready engine, bytes back; starts nothing',
    may: ['config.ts', 'engine'],
    not: '^(node:)?(child_process|express)',
    samples: ['node:child_process', 'express'],
  },
  {
    path: 'worker-launcher/preflight',
    promise: 'facts of the machine and of Redis against the card: what passes, what is missing, the plan',
    may: ['config.ts', 'engine'],
    not: '^(bullmq|express)',
    samples: ['bullmq'],
  },
  {
    path: 'worker-launcher/fleet',
    promise: 'what runs all day: engines, dispatchers, watch of the GPUs, downloads',
    may: ['config.ts', 'dispatch', 'engine', 'preflight'],
    not: `${REDIS}|^express`,
    samples: ['express', 'ioredis'],
  },
  {
    path: SIMULATOR,
    promise: 'stands in for `vllm serve`, started as a child like it; imports nothing of the rest',
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

/** Files of a program that stand in no room; none but these may be imported from one. The simulator is a program too. */
export const LOOSE_FILES = {
  gateway: ['main.ts', 'app.ts', 'config.ts', 'metrics.ts', 'failure.ts'],
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
const NO_MAIN = { regex: '(^|/)main\\.ts$', message: 'main.ts is imported by nobody' };

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
 * One override for each depth below the room, as `../` means another folder at each.
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
      // A room in another: what lies around it is another room's.
      ...Array.from({ length: own.length - 1 }, (_one, level) => ({
        regex: `^(\\.\\./){${up - 1 - level}}[^./]`,
        message,
      })),
      ...(room.not === undefined ? [] : [{ regex: room.not, message }]),
    ];
    return {
      files: [`${room.path}/${'*/'.repeat(below)}*.ts`],
      rules: { 'no-restricted-imports': ['error', { patterns }] },
    };
  });
}

// oxlint-disable-next-line import/no-default-export -- oxlint asks for it
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
