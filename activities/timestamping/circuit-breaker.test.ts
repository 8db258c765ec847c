import { beforeEach, describe, expect, it } from '@jest/globals';
import { createCircuitBreaker } from './circuit-breaker.ts';
import { createTokenBucket } from './token-bucket.ts';

let now = 0;
beforeEach(() => {
  now = 1_000_000;
});
const breakerOf = () => createCircuitBreaker({ failures: 3, openMs: 1_000, maxOpenMs: 3_000 }, () => now);

describe('the circuit breaker', () => {
  it('opens after failures in a row, counted anew after a success', () => {
    const breaker = breakerOf();
    breaker.failed();
    breaker.failed();
    breaker.succeeded();
    breaker.failed();
    breaker.failed();
    expect(breaker.state()).toBe('closed');
    breaker.failed();
    expect(breaker.state()).toBe('open');
    expect(breaker.admit()).toBe(false);
  });

  it('admits one try once its rest is over, and rests twice as long when that fails, up to the bound', () => {
    const breaker = breakerOf();
    for (let i = 0; i < 3; i++) breaker.failed();
    for (const restMs of [1_000, 2_000, 3_000, 3_000]) {
      now += restMs - 1;
      expect(breaker.admit()).toBe(false);
      now += 1;
      expect([breaker.admit(), breaker.admit()]).toEqual([true, false]);
      breaker.failed();
    }
    now += 3_000;
    breaker.admit();
    breaker.succeeded();
    expect(breaker.state()).toBe('closed');
  });

  it('opens at once on a lasting fault, and gives an abandoned try back', () => {
    const breaker = breakerOf();
    breaker.failed(true);
    expect(breaker.state()).toBe('open');
    now += 1_000;
    expect(breaker.admit()).toBe(true);
    breaker.abandoned();
    expect(breaker.admit()).toBe(true);
  });

  it('does not stay open for an hour when the clock is set back by one', () => {
    const breaker = breakerOf();
    breaker.failed(true);
    now -= 3_600_000;
    expect(breaker.admit()).toBe(true);
  });
});

describe('the token bucket', () => {
  it('grants its capacity, then one per refill, and never holds more than its capacity', () => {
    const bucket = createTokenBucket({ capacity: 2, refillMs: 100 }, () => now);
    expect([bucket.take(), bucket.take(), bucket.take()]).toEqual([true, true, false]);
    now += 100;
    expect([bucket.take(), bucket.take()]).toEqual([true, false]);
    now += 10_000;
    expect([bucket.take(), bucket.take(), bucket.take()]).toEqual([true, true, false]);
  });

  it('grants nothing for a clock that is set back', () => {
    const bucket = createTokenBucket({ capacity: 1, refillMs: 100 }, () => now);
    bucket.take();
    now -= 1_000;
    expect(bucket.take()).toBe(false);
    now += 100;
    expect(bucket.take()).toBe(true);
  });
});
