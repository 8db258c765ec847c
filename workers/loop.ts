export interface Loop {
  /** Takes the next turn now instead of at the next tick. */
  wake(): void;
  /** Ends after the turn under way. */
  stop(): Promise<void>;
}

/**
 * Takes turns one at a time: again at once while a turn gives true, else at a wake or after `everyMs`. A turn that
 * throws is reported and followed by the wait.
 */
export function startLoop(options: {
  readonly everyMs: number;
  readonly turn: () => Promise<unknown>;
  readonly onError: (error: unknown) => void;
}): Loop {
  let stopped = false;
  let woken = false;
  let rest: (() => void) | undefined;

  // The first turn is not taken before the caller holds the loop.
  const running = Promise.resolve().then(async () => {
    while (!stopped) {
      woken = false;
      const more = await options.turn().catch((error) => {
        options.onError(error);
        return false;
      });
      if (more === true || woken || stopped) continue;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, options.everyMs);
        rest = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      rest = undefined;
    }
  });
  return {
    wake() {
      woken = true;
      rest?.();
    },
    async stop() {
      stopped = true;
      rest?.();
      await running;
    },
  };
}
