import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Sees to it that no process outlives this one, even if this one is killed with -9. */
export interface Guard {
  /** Has the process group of `pid` ended with `signal` (then SIGKILL after 8 s) when this process is gone. */
  watch(pid: number, signal: NodeJS.Signals): void;
  forget(pid: number): void;
  /** Lets the guard end; what it still watches is ended by it. */
  close(): Promise<void>;
}

const MAIN = fileURLToPath(new URL('./guard-main.ts', import.meta.url));

/** Starts one guard process. It is started again, and told everything again, if somebody ends it. */
export function startGuard(): Guard {
  const watched = new Map<number, NodeJS.Signals>();
  let closed = false;
  let child = start();

  function start() {
    const started = spawn(process.execPath, [MAIN], { detached: true, stdio: ['pipe', 'ignore', 'ignore'], env: {} });
    // Writing to a guard that was just killed is no fault of ours: the next one is told everything.
    started.stdin.on('error', () => {});
    started.once('exit', () => {
      if (!closed) child = start();
    });
    started.unref();
    (started.stdin as unknown as { unref(): void }).unref();
    for (const [pid, signal] of watched) started.stdin.write(`+${pid} ${signal}\n`);
    return started;
  }

  return {
    watch(pid, signal) {
      watched.set(pid, signal);
      child.stdin.write(`+${pid} ${signal}\n`);
    },
    forget(pid) {
      watched.delete(pid);
      child.stdin.write(`-${pid}\n`);
    },
    async close() {
      closed = true;
      if (child.exitCode !== null) return;
      await new Promise<void>((resolve) => {
        child.ref();
        child.once('exit', () => resolve());
        child.stdin.end();
      });
    },
  };
}
