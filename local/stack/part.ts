/**
 * One process of the local system: started in a process group of its own, watched by the guard, waited for until it
 * answers, started again when it dies (if asked), ended with everything it started.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, renameSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Guard } from './guard.ts';

export interface PartSpec {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** The whole environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly identity?: { readonly uid: number; readonly gid: number };
  /** Output is appended here; a file over 16 MB is moved to `<file>.old` at a start. */
  readonly logFile: string;
  readonly stopSignal: NodeJS.Signals;
  readonly stopTimeoutMs: number;
  readonly readyTimeoutMs: number;
  /** Runs before each start; throws to refuse it. */
  readonly prepare?: () => Promise<void>;
  /** Asked every 50 ms after a start until it says true. A throw counts as false. */
  readonly isReady: (pid: number) => Promise<boolean>;
}

export type PartState = 'starting' | 'up' | 'down' | 'stopped';

export interface RunningPart {
  readonly name: string;
  /** Undefined while it is down. */
  pid(): number | undefined;
  /** Ends it and what it started: `stopSignal`, then SIGKILL after `stopTimeoutMs`. Repeatable. */
  stop(): Promise<void>;
  /** Starts it again after a stop; resolves once it answers. */
  start(): Promise<void>;
}

export interface RunOptions {
  readonly guard: Guard;
  /** Start it again when it dies. Default false. */
  readonly restart?: boolean;
  readonly onState?: (name: string, state: PartState, detail: string) => void;
}

const READY_POLL_MS = 50;
const LOG_ROTATED_OVER_BYTES = 16 * 1024 * 1024;
const QUICK_DEATH_MS = 2_000;
const LONGEST_PAUSE_MS = 2_000;

/** Starts a part and resolves once it answers. Throws with the end of its log if it dies before, or takes too long. */
export async function runPart(spec: PartSpec, options: RunOptions): Promise<RunningPart> {
  const tell = (state: PartState, detail = '') => options.onState?.(spec.name, state, detail);
  let child: ChildProcess | undefined;
  let stopping = false;
  let quickDeaths = 0;
  let supervision: Promise<void> = Promise.resolve();

  const launch = async (): Promise<void> => {
    tell('starting');
    await spec.prepare?.();
    const started = spawnPart(spec);
    const exited = new Promise<string>((resolve) => {
      started.once('error', (fault) => resolve(fault.message));
      started.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
    });
    child = started;
    if (started.pid !== undefined) options.guard.watch(started.pid, spec.stopSignal);
    const began = Date.now();
    const gone = exited.then((how) => {
      if (started.pid !== undefined) {
        // Whatever it started goes with it.
        signalGroup(started.pid, 'SIGKILL');
        options.guard.forget(started.pid);
      }
      if (child === started) child = undefined;
      return how;
    });
    try {
      await becomeReady(spec, started, gone);
    } catch (fault) {
      if (started.pid !== undefined) signalGroup(started.pid, 'SIGKILL');
      await gone;
      throw fault;
    }
    tell('up', `${Date.now() - began} ms`);
    supervision = gone.then(async (how) => {
      quickDeaths = Date.now() - began < QUICK_DEATH_MS ? quickDeaths + 1 : 0;
      if (stopping || options.restart !== true) return;
      tell('down', how);
      await relaunch();
    });
  };

  const relaunch = async (): Promise<void> => {
    while (!stopping) {
      if (quickDeaths > 0) await delay(Math.min(LONGEST_PAUSE_MS, 100 * 2 ** quickDeaths));
      if (stopping) return;
      try {
        await launch();
        return;
      } catch (fault) {
        quickDeaths++;
        tell('down', fault instanceof Error ? fault.message : String(fault));
      }
    }
  };

  await launch();
  return {
    name: spec.name,
    pid: () => child?.pid,
    async stop() {
      stopping = true;
      const pid = child?.pid;
      if (pid !== undefined) await endGroup(pid, spec.stopSignal, spec.stopTimeoutMs, () => child?.pid === pid);
      await supervision;
      tell('stopped');
    },
    async start() {
      if (!stopping) return;
      stopping = false;
      quickDeaths = 0;
      await launch();
    },
  };
}

function spawnPart(spec: PartSpec): ChildProcess {
  mkdirSync(dirname(spec.logFile), { recursive: true });
  if ((statSync(spec.logFile, { throwIfNoEntry: false })?.size ?? 0) > LOG_ROTATED_OVER_BYTES) {
    renameSync(spec.logFile, `${spec.logFile}.old`);
  }
  const log = openSync(spec.logFile, 'a', 0o600);
  try {
    return spawn(spec.command, [...spec.args], {
      detached: true,
      stdio: ['ignore', log, log],
      env: spec.env as NodeJS.ProcessEnv,
      ...(spec.cwd === undefined ? {} : { cwd: spec.cwd }),
      ...spec.identity,
    });
  } finally {
    closeSync(log);
  }
}

async function becomeReady(spec: PartSpec, child: ChildProcess, gone: Promise<string>): Promise<void> {
  let ended: string | undefined;
  void gone.then((how) => {
    ended = how;
  });
  const deadline = Date.now() + spec.readyTimeoutMs;
  for (;;) {
    if (ended !== undefined) {
      throw new Error(`${spec.name} ended before it answered (${ended}); ${spec.logFile} ends:\n${await logEnd(spec)}`);
    }
    if (child.pid !== undefined && (await spec.isReady(child.pid).catch(() => false)) && ended === undefined) return;
    if (Date.now() > deadline) {
      throw new Error(
        `${spec.name} did not answer within ${spec.readyTimeoutMs} ms; ${spec.logFile} ends:\n${await logEnd(spec)}`,
      );
    }
    await delay(READY_POLL_MS);
  }
}

async function endGroup(pid: number, signal: NodeJS.Signals, timeoutMs: number, isAlive: () => boolean): Promise<void> {
  signalGroup(pid, signal);
  const deadline = Date.now() + timeoutMs;
  while (isAlive()) {
    if (Date.now() > deadline) signalGroup(pid, 'SIGKILL');
    await delay(20);
  }
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // Already gone.
  }
}

async function logEnd(spec: PartSpec): Promise<string> {
  try {
    const file = await open(spec.logFile, 'r');
    try {
      const { size } = await file.stat();
      const length = Math.min(size, 3000);
      const { buffer } = await file.read({ buffer: Buffer.alloc(length), position: size - length });
      return buffer.toString('utf8').trim().split('\n').slice(-12).join('\n');
    } finally {
      await file.close();
    }
  } catch {
    return '(no log)';
  }
}
