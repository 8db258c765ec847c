/** One AbortSignal for the whole process: SIGTERM or SIGINT aborts it, a second signal ends the process at once. */
export function untilStopped(): {
  readonly signal: AbortSignal;
  readonly aborted: boolean;
  readonly done: Promise<void>;
} {
  const controller = new AbortController();
  const done = new Promise<void>((resolve) => {
    const stop = (): void => {
      if (controller.signal.aborted) process.exit(1);
      controller.abort();
      resolve();
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
  });
  return {
    signal: controller.signal,
    get aborted() {
      return controller.signal.aborted;
    },
    done,
  };
}
