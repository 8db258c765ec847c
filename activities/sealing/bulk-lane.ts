/**
 * The lane of large batches. A submission of thousands may take minutes, and all that is done for it would crowd out
 * whoever sends one proof meanwhile. So the chunks of large batches go one at a time in a process, first come first
 * served, and before each the lane gives way: while a small batch is young it rests, at most `GIVE_WAY` times as long as
 * the chunk before took. Large batches keep a third of the time at least, however many small ones come. While none comes
 * for long, two go at a time: they carry a fifth more, but a single proof beside them takes three times its quiet time
 * (measured on two cores) instead of less than twice.
 */

export interface BulkLane {
  /** Runs one chunk of a large batch once the lane has a place and has given way. */
  step<T>(work: () => Promise<T>): Promise<T>;
}

/** The lane of every other batch: nobody is given way. */
export const OPEN_LANE: BulkLane = { step: (work) => work() };

export interface BulkLaneDeps {
  /** Whether a small batch is young and not at its end. */
  readonly isSmallUnderWay: () => Promise<boolean>;
  /** Milliseconds that never go back. */
  readonly elapsedMs: () => number;
  /** Ends early when the process stops. */
  readonly pause: (ms: number) => Promise<unknown>;
  /** Aborted when the process stops: nobody is given way any more. */
  readonly stopping?: AbortSignal | undefined;
}

const GIVE_WAY = 2;
/** Without small batches for so long, a second chunk goes beside the first. */
export const QUIET_MS = 30_000;
const LOOK_MS = 25;

export function createBulkLane({ isSmallUnderWay, elapsedMs, pause, stopping }: BulkLaneDeps): BulkLane {
  const waiting: (() => void)[] = [];
  let underWay = 0;
  let lastTookMs = 0;
  let smallSeenMs = Number.NEGATIVE_INFINITY;
  const places = (): number => (elapsedMs() - smallSeenMs < QUIET_MS ? 1 : 2);

  async function seesSmall(): Promise<boolean> {
    if (!(await isSmallUnderWay())) return false;
    smallSeenMs = elapsedMs();
    return true;
  }

  async function giveWay(): Promise<void> {
    const untilMs = elapsedMs() + GIVE_WAY * lastTookMs;
    while (stopping?.aborted !== true && (await seesSmall()) && elapsedMs() < untilMs) await pause(LOOK_MS);
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
