/**
 * Lanes that give way. A submission of thousands, or a tenant that sends thousands, may take minutes, and all that is done
 * for them would crowd out whoever sends one proof meanwhile. So the chunks of such batches go one at a time in a lane of a
 * process, first come first served, and before each the lane gives way: while a batch of a lane before it is young it
 * rests, at most `GIVE_WAY` times as long as the chunk before took. It keeps a third of the time at least, however many
 * come. While none comes for long, two go at a time: they carry a fifth more, but a single proof beside them takes three
 * times its quiet time (measured on two cores) instead of less than twice.
 */
import type { Lane } from '../../domain/lane.ts';

export interface GivingLane {
  /** Runs one chunk once the lane has a place and has given way. */
  step<T>(work: () => Promise<T>): Promise<T>;
}

/** Gives nobody way. */
export const OPEN_LANE: GivingLane = { step: (work) => work() };

/** Each lane's own. */
export type GivingLanes = Readonly<Record<Lane, GivingLane>>;

export const OPEN_LANES: GivingLanes = { prompt: OPEN_LANE, crowd: OPEN_LANE, large: OPEN_LANE };

/** The lanes to whose young batches each gives way. */
export const BEFORE: Readonly<Record<Exclude<Lane, 'prompt'>, readonly Lane[]>> = {
  crowd: ['prompt'],
  large: ['prompt', 'crowd'],
};

export interface GivingLaneDeps {
  /** Whether a batch of a lane before it is young and not at its end. */
  readonly isAwaited: () => Promise<boolean>;
  /** Milliseconds that never go back. */
  readonly elapsedMs: () => number;
  /** Ends early when the process stops. */
  readonly pause: (ms: number) => Promise<unknown>;
  /** Aborted when the process stops: nobody is given way any more. */
  readonly stopping?: AbortSignal | undefined;
}

const GIVE_WAY = 2;
/** Without batches before it for so long, a second chunk goes beside the first. */
export const QUIET_MS = 30_000;
const LOOK_MS = 25;

export function createGivingLane({ isAwaited, elapsedMs, pause, stopping }: GivingLaneDeps): GivingLane {
  const waiting: (() => void)[] = [];
  let underWay = 0;
  let lastTookMs = 0;
  let seenMs = Number.NEGATIVE_INFINITY;
  const places = (): number => (elapsedMs() - seenMs < QUIET_MS ? 1 : 2);

  async function seesOne(): Promise<boolean> {
    if (!(await isAwaited())) return false;
    seenMs = elapsedMs();
    return true;
  }

  async function giveWay(): Promise<void> {
    const untilMs = elapsedMs() + GIVE_WAY * lastTookMs;
    while (stopping?.aborted !== true && (await seesOne()) && elapsedMs() < untilMs) await pause(LOOK_MS);
  }

  return {
    async step(work) {
      if (waiting.length === 0 && underWay < places()) underWay++;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      try {
        await giveWay();
        const beganMs = elapsedMs();
        const result = await work();
        lastTookMs = elapsedMs() - beganMs;
        return result;
      } finally {
        underWay--;
        for (; waiting.length > 0 && underWay < places(); underWay++) waiting.shift()?.();
      }
    },
  };
}
