/** What the parts of the system use, from /proc (Linux): CPU of a process and all it started, memory by shares. */
import { readdir, readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';

/** Clock ticks a second: USER_HZ, 100 on every Linux that Node runs on. */
const TICKS = 100;

export interface Use {
  /** Since each process began, its ended children included. */
  readonly cpuSeconds: number;
  /** Proportional set size: shared pages counted once over the processes that share them. */
  readonly memoryMiB: number;
}

interface Stat {
  readonly pid: number;
  readonly parent: number;
  readonly ticks: number;
}

/** By part. A part whose process is gone is absent. */
export async function readUse(
  pids: Readonly<Record<string, number | readonly number[] | null>>,
): Promise<ReadonlyMap<string, Use>> {
  const stats = await readStats();
  const children = Map.groupBy(stats.values(), (stat) => stat.parent);
  const familyOf = (pid: number): Stat[] => {
    const own = stats.get(pid);
    return own === undefined ? [] : [own, ...(children.get(pid) ?? []).flatMap((child) => familyOf(child.pid))];
  };
  const out = new Map<string, Use>();
  for (const [part, roots] of Object.entries(pids)) {
    if (roots === null || part === 'supervisor') continue;
    const family = (typeof roots === 'number' ? [roots] : [...roots]).flatMap(familyOf);
    if (family.length === 0) continue;
    const memory = await Promise.all(family.map(({ pid }) => readMemory(pid)));
    out.set(part, {
      cpuSeconds: family.reduce((sum, stat) => sum + stat.ticks, 0) / TICKS,
      memoryMiB: memory.reduce((sum, one) => sum + one, 0),
    });
  }
  return out;
}

/** CPU between two readings, by part, most first. */
export function cpuBetween(
  before: ReadonlyMap<string, Use>,
  after: ReadonlyMap<string, Use>,
): readonly (readonly [part: string, seconds: number])[] {
  return [...after]
    .map(([part, use]) => [part, use.cpuSeconds - (before.get(part)?.cpuSeconds ?? 0)] as const)
    .sort((a, b) => b[1] - a[1]);
}

/** What the cores allow: all of their time, spent on `done` things as it was between two readings. */
export function boundByCores(cpu: ReturnType<typeof cpuBetween>, done: number): { msEach: number; perSecond: number } {
  const seconds = cpu.reduce((sum, [, spent]) => sum + spent, 0);
  return { msEach: (seconds * 1000) / done, perSecond: (done * availableParallelism()) / seconds };
}

async function readStats(): Promise<Map<number, Stat>> {
  const out = new Map<number, Stat>();
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const text = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    // The command may hold spaces and brackets; fields count from behind it.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const ticks = [11, 12, 13, 14].reduce((sum, at) => sum + Number(fields[at]), 0);
    out.set(Number(name), { pid: Number(name), parent: Number(fields[1]), ticks });
  }
  return out;
}

async function readMemory(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '');
  return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) / 1024;
}
