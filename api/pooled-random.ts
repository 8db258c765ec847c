import { randomFillSync } from 'node:crypto';

const POOL_BYTES = 4_096;

/** Random bytes from the system, fetched in large pieces; no byte is handed out twice. */
export function createPooledRandom(): (length: number) => Uint8Array {
  let pool = new Uint8Array(0);
  let at = 0;
  return (length) => {
    if (length > POOL_BYTES) return randomFillSync(new Uint8Array(length));
    if (at + length > pool.length) {
      // A new piece each time: what was handed out stays as it is.
      pool = randomFillSync(new Uint8Array(POOL_BYTES));
      at = 0;
    }
    at += length;
    return pool.subarray(at - length, at);
  };
}
