import { describe, expect, it } from '@jest/globals';
import { payerRunwayDays } from './payer-runway.ts';

describe('the runway of the payer', () => {
  it.each([
    ['what the last day cost', 1_000_000n, { anchors: 10, feeTinybars: 100_000n }, 10],
    ['one fee at the cap on a day without anchors', 1_000_000n, { anchors: 0, feeTinybars: 0n }, 0.2],
    ['nothing left', 0n, { anchors: 10, feeTinybars: 100_000n }, 0],
  ])('counts by %s', (_what, balance, spent, days) => {
    expect(payerRunwayDays(balance, spent, 5_000_000n)).toBe(days);
  });
});
