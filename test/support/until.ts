import { inspect } from 'node:util';

const EVERY_MS = 20;
/** Less than a test may take, so that what is missing is named; more than a loaded machine needs. */
const WITHIN_MS = 25_000;

/** Reads again and again until what it read is good, and gives it. Throws, naming the last value, after `withinMs`. */
export async function until<T>(
  read: () => T | Promise<T>,
  isGood: (value: T) => boolean,
  withinMs = WITHIN_MS,
): Promise<T> {
  for (const end = performance.now() + withinMs; ; ) {
    const value = await read();
    if (isGood(value)) return value;
    if (performance.now() > end)
      throw new Error(`after ${withinMs} ms still ${inspect(value, { breakLength: Infinity })}`);
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}
