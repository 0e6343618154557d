import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { transformSync } from '@swc/core';
import { PENSTOCK, ROOT } from '../support/start-process.ts';
import { freePorts } from '#runtime/free-port';
import type { Stack } from '../support/stack.ts';
import { isExpected } from './expected-output.mjs';
import type { Block } from './page.mjs';

/** A start of the product takes some seconds, on a busy machine more. */
const LIMIT_MS = 120_000;
const START_ONCE = join(ROOT, 'test/documents/start-once.mjs');

/** Ways to run Python: with the SDKs of Azure and OpenAI, and by name of a further package with what it needs. */
export type Pythons = Readonly<{ sdks: string; langchain?: string | undefined }>;

/** Runs the blocks of pages beside a stack, each page in a folder of its own. */
export class BlockRunner implements Disposable {
  readonly #stack: Stack;
  readonly #pythons: Pythons | undefined;
  readonly #folder = mkdtempSync(join(tmpdir(), 'penstock-documents-'));
  #programs = 0;

  constructor(stack: Stack, pythons?: Pythons) {
    this.#stack = stack;
    this.#pythons = pythons;
    const bin = join(this.#folder, 'bin');
    mkdirSync(bin);
    const node = `"${process.execPath}"`;
    const start = `exec ${node} "${START_ONCE}" "$@"`;
    const command = `case "$1" in up) shift; ${start};; esac\nexec ${node} "${PENSTOCK}" "$@"`;
    this.#write('bin/penstock', `#!/bin/sh\n${command}\n`);
    this.#write(
      'bin/npm',
      `#!/bin/sh\n[ "$1" = start ] || { echo "a page runs npm start alone" >&2; exit 1; }\nshift\n[ "$1" = -- ] && shift\n${start}\n`,
    );
    this.#write(
      'bin/npx',
      `#!/bin/sh\n[ "$1" = penstock ] || { echo "a page runs npx penstock alone" >&2; exit 1; }\nshift\n${command}\n`,
    );
    symlinkSync(join(ROOT, 'node_modules'), join(this.#folder, 'node_modules'));
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  /**
   * @param expected the block after it, where that shows its output
   * @returns what is wrong, with its output
   */
  async run(block: Block, expected: Block | undefined): Promise<string | undefined> {
    const cwd = join(this.#folder, 'pages', block.page.replaceAll('/', '-'));
    mkdirSync(cwd, { recursive: true });
    const at = `${block.page}:${block.line}`;
    const { code, stdout, stderr } = await this.#output(this.#commandOf(block), cwd);
    if (code !== 0) return `${at} ended with ${code}\n${stdout}${stderr}`;
    if (expected === undefined) return undefined;
    const language = expected.language === 'json' ? 'json' : 'text';
    return isExpected(language, expected.text, stdout) ? undefined : `${at} printed\n${stdout}${stderr}`;
  }

  #commandOf({ language, text }: Block): [string, ...string[]] {
    const program = this.#addressed(text);
    if (language === 'sh') return ['bash', '-e', '-c', program];
    this.#programs += 1;
    if (language === 'python') {
      const { sdks, langchain = sdks } = this.#pythons ?? { sdks: 'python3' };
      return [/^from langchain/m.test(text) ? langchain : sdks, this.#write(`${this.#programs}.py`, program)];
    }
    const { code } = transformSync(program, { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' } });
    return [process.execPath, this.#write(`${this.#programs}.mjs`, code)];
  }

  /** The addresses of pages become those of the stack. */
  #addressed(text: string): string {
    const [gateway, launcher] = [this.#stack.gateways[0], this.#stack.launchers[0]];
    return text
      .replaceAll('http://127.0.0.1:8080', this.#stack.url)
      .replaceAll('http://127.0.0.1:8081', gateway?.internalUrl ?? '')
      .replaceAll('http://127.0.0.1:8082', launcher?.internalUrl ?? '');
  }

  #write(name: string, text: string): string {
    const path = resolve(this.#folder, name);
    writeFileSync(path, text);
    chmodSync(path, 0o755);
    return path;
  }

  async #output([file, ...args]: [string, ...string[]], cwd: string) {
    const child = spawn(file, args, {
      cwd,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: `${join(this.#folder, 'bin')}:${process.env['PATH'] ?? ''}`,
        HOME: this.#folder,
        PYTHONDONTWRITEBYTECODE: '1',
        PENSTOCK_DOCUMENTS_PORT: String(await freePorts(3)),
      },
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (bytes) => (stdout += String(bytes)));
    child.stderr.on('data', (bytes) => (stderr += String(bytes)));
    const { pid } = child;
    const limit = setTimeout(() => pid !== undefined && process.kill(-pid, 'SIGKILL'), LIMIT_MS);
    await once(child, 'close');
    clearTimeout(limit);
    const { url, gateways, launchers } = this.#stack;
    stdout = stdout
      .replaceAll(url, 'http://127.0.0.1:8080')
      .replaceAll(gateways[0]?.internalUrl ?? '', 'http://127.0.0.1:8081')
      .replaceAll(launchers[0]?.internalUrl ?? '', 'http://127.0.0.1:8082');
    return { code: child.exitCode ?? child.signalCode, stdout, stderr };
  }
}
