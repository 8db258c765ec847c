import { readFile } from 'node:fs/promises';
import { runCommand } from './run-command.ts';

export interface FoundProcess {
  /** When it began, in the system's own words: with the number it names one process for ever. */
  readonly started: string;
  readonly command: string;
}

/** The process with this number; undefined if there is none. From /proc where that is, since `ps` may be missing there. */
export async function findProcess(pid: number): Promise<FoundProcess | undefined> {
  return process.platform === 'linux' ? findInProc(pid) : findByPs(pid);
}

async function findInProc(pid: number): Promise<FoundProcess | undefined> {
  try {
    const [stat, commandLine, uptime] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'utf8'),
      readFile(`/proc/${pid}/cmdline`, 'utf8'),
      readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
    ]);
    // The name in brackets may hold anything; what follows is: state is field 3, start time in clock ticks field 22.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z') return undefined;
    return {
      started: `tick ${fields[19]} of boot ${uptime.trim().slice(0, 8)}`,
      command: commandLine.replaceAll('\0', ' ').trim(),
    };
  } catch {
    return undefined;
  }
}

async function findByPs(pid: number): Promise<FoundProcess | undefined> {
  const env = { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' };
  const found = await runCommand('ps', ['-ww', '-o', 'lstart=', '-o', 'args=', '-p', `${pid}`], {
    timeoutMs: 5_000,
    env,
  });
  const line = found.output.trim();
  // `Mon Nov 23 02:25:50 2026 command …`
  return found.code === 0 && line !== '' ? { started: line.slice(0, 24), command: line.slice(24).trim() } : undefined;
}
