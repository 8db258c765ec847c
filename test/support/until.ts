const EVERY_MS = 20;

/** Reads again and again until what it read is good, and gives it. Throws, naming the last value, after `withinMs`. */
export async function until<T>(
  read: () => T | Promise<T>,
  isGood: (value: T) => boolean,
  withinMs = 10_000,
): Promise<T> {
  for (const end = performance.now() + withinMs; ; ) {
    const value = await read();
    if (isGood(value)) return value;
    if (performance.now() > end) throw new Error(`after ${withinMs} ms still ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}
