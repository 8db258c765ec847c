import { describe, expect, it } from '@jest/globals';
import { toMicros } from './clock.ts';
import { parseInstant } from './time.ts';

describe('instants', () => {
  it('come back as they were written', () => {
    for (const micros of [0n, 1n, 1_795_420_800_000_123n, 253_402_300_799_999_999n])
      expect(parseInstant(toMicros(micros))).toBe(micros);
  });

  it('may have any fraction up to nanoseconds, cut to microseconds', () => {
    expect(parseInstant('1970-01-01T00:00:01Z')).toBe(1_000_000n);
    expect(parseInstant('1970-01-01T00:00:01.5Z')).toBe(1_500_000n);
    expect(parseInstant('1970-01-01T00:00:00.123456789Z')).toBe(123_456n);
  });

  it.each([
    '',
    '2026-02-30T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-01-01T24:00:00Z',
    '2026-01-01T00:00:60Z',
    '2026-01-01T00:00:00',
    '2026-01-01T00:00:00+00:00',
    '2026-01-01 00:00:00Z',
    '2026-01-01T00:00:00.Z',
    '2026-01-01T00:00:00.1234567890Z',
    ' 2026-01-01T00:00:00Z',
  ])('do not read %j', (text) => {
    expect(parseInstant(text)).toBeUndefined();
  });
});
