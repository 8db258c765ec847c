import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface LogClientInput {
  /** Of the log, with a slash at its end. */
  readonly base: string;
  readonly vkey: string;
  /** A checkpoint seen earlier, which the newest must extend. */
  readonly earlier?: string;
  /** tlog-proofs, with the leaf data (hex) that they speak of. */
  readonly receipts: readonly { readonly leaf: string; readonly text: string }[];
}

export interface LogClient {
  /** Rejects with what the client has against the log. */
  check(input: LogClientInput): Promise<{ readonly size: number; readonly entries: readonly string[] }>;
  remove(): void;
}

/**
 * Builds `log-client/`, a client made of other people's implementation of C2SP (torchwood, golang.org/x/mod). Undefined,
 * and said so, where there is no Go or its modules cannot be had.
 */
export function buildLogClient(): LogClient | undefined {
  const dir = mkdtempSync(join(tmpdir(), 'proofline-log-client-'));
  const program = join(dir, 'log-client');
  const built = spawnSync('go', ['build', '-mod=readonly', '-o', program, '.'], {
    cwd: join(import.meta.dirname, 'log-client'),
    env: { ...process.env, CGO_ENABLED: '0' },
    timeout: 300_000,
    encoding: 'utf8',
  });
  if (built.status !== 0) {
    rmSync(dir, { recursive: true });
    const reason = built.error?.message ?? built.stderr.trim().split('\n').at(-1);
    console.warn(`SKIPPED: the independent client of the log cannot be built (${reason}); it takes Go ≥ 1.25`);
    return undefined;
  }
  return { check: (input) => run(program, input), remove: () => rmSync(dir, { recursive: true }) };
}

function run(program: string, input: LogClientInput): ReturnType<LogClient['check']> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, { timeout: 60_000 });
    let out = '';
    let complaint = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint += text;
    });
    child.once('error', reject);
    child.once('close', (code) => (code === 0 ? resolve(JSON.parse(out)) : reject(new Error(complaint.trim()))));
    child.stdin.end(JSON.stringify(input));
  });
}
