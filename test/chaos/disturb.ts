/** Kills (-9) and freezes (SIGSTOP, SIGCONT) the parts of a running system at random moments. */
import { setTimeout as delay } from 'node:timers/promises';
import type { RunningPart } from '../../local/stack/part.ts';
import { familyOf, signalProcess } from './processes.ts';
import type { Random } from './random.ts';

/** Between two blows, ms. */
const PAUSE = { from: 300, to: 2_500 } as const;
/** Share of the blows that freeze. */
const FREEZES = 0.4;

export interface Blows {
  readonly killed: number;
  readonly frozen: number;
  /** Longest and total time frozen, ms. */
  readonly frozenMs: number;
}

export interface Disturbance {
  /** No further blow; resolves once nobody is frozen. */
  stop(): Promise<ReadonlyMap<string, Blows>>;
}

/** Begins at once. Each part is struck as often as any other; several may be down or frozen at a time. */
export function disturb(
  parts: ReadonlyMap<string, RunningPart>,
  random: Random,
  say: (line: string) => void,
): Disturbance {
  const blows = new Map([...parts.keys()].map((name) => [name, { killed: 0, frozen: 0, frozenMs: 0 }]));
  const frozen = new Map<string, Promise<void>>();
  const stopping = new AbortController();

  const freeze = async (name: string, pid: number, ms: number): Promise<void> => {
    const family = familyOf(pid);
    for (const one of family) signalProcess(one, 'SIGSTOP');
    await delay(ms, undefined, { signal: stopping.signal }).catch(() => {});
    for (const one of family) signalProcess(one, 'SIGCONT');
    frozen.delete(name);
  };

  const strike = (): void => {
    const name = random.pick([...parts.keys()]);
    // Asked whatever happens, so that the plan depends on the seed alone.
    const isFreeze = random.next() < FREEZES;
    const freezeMs = random.next() < 0.2 ? random.between(6_000, 15_000) : random.between(100, 4_000);
    const pid = parts.get(name)?.pid();
    const count = blows.get(name);
    if (pid === undefined || count === undefined || frozen.has(name)) return;
    if (isFreeze) {
      say(`freeze ${name} for ${freezeMs} ms`);
      count.frozen++;
      count.frozenMs += freezeMs;
      frozen.set(name, freeze(name, pid, freezeMs));
    } else {
      say(`kill ${name}`);
      count.killed++;
      signalProcess(pid, 'SIGKILL');
    }
  };

  const running = (async () => {
    while (!stopping.signal.aborted) {
      await delay(random.between(PAUSE.from, PAUSE.to), undefined, { signal: stopping.signal }).catch(() => {});
      if (!stopping.signal.aborted) strike();
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await running;
      await Promise.all(frozen.values());
      return blows;
    },
  };
}
