import { spawn } from 'node:child_process';

export interface CommandResult {
  readonly code: number | null;
  /** Standard output and error together, the last 64 KiB. */
  readonly output: string;
}

export interface CommandOptions {
  readonly timeoutMs: number;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly identity?: { readonly uid: number; readonly gid: number };
  /** Sees each line of output as it comes. */
  readonly onLine?: (line: string) => void;
}

const KEPT = 64 * 1024;

/** Runs a program to its end without a shell. Never rejects: a program that cannot be started has code null. */
export function runCommand(command: string, args: readonly string[], options: CommandOptions): Promise<CommandResult> {
  return new Promise((resolve) => {
    let output = '';
    let rest = '';
    const keep = (chunk: Buffer) => {
      const text = chunk.toString('utf8');
      output = (output + text).slice(-KEPT);
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) options.onLine?.(line);
    };
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: options.timeoutMs,
      killSignal: 'SIGKILL',
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.env === undefined ? {} : { env: options.env }),
      ...options.identity,
    });
    // A build that takes minutes must not go on when this process is ended.
    const kill = (): void => void child.kill('SIGKILL');
    process.once('exit', kill);
    child.once('close', () => process.off('exit', kill));
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.once('error', (fault) => resolve({ code: null, output: fault.message }));
    child.once('close', (code) => resolve({ code, output }));
  });
}
