import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PartSpec } from './part.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

export interface NodePartOptions {
  readonly name: string;
  /** Entry point below the repository's root. */
  readonly main: string;
  /** The process's settings; nothing else of our environment but PATH, HOME, TMPDIR and NODE_ENV reaches it. */
  readonly settings: Readonly<Record<string, string>>;
  readonly logsDir: string;
  readonly stopTimeoutMs?: number;
  readonly isReady: () => Promise<boolean>;
}

/** A part that is one of our own programs, run by this very Node. */
export function nodePart(options: NodePartOptions): PartSpec {
  const { PATH, HOME, TMPDIR, NODE_ENV } = process.env;
  return {
    name: options.name,
    command: process.execPath,
    args: ['--disable-warning=ExperimentalWarning', join(ROOT, options.main)],
    cwd: ROOT,
    env: { PATH, HOME, TMPDIR, NODE_ENV, ...options.settings },
    logFile: join(options.logsDir, `${options.name}.log`),
    stopSignal: 'SIGTERM',
    stopTimeoutMs: options.stopTimeoutMs ?? 10_000,
    readyTimeoutMs: 60_000,
    isReady: options.isReady,
  };
}
