import { describe, expect, it } from '@jest/globals';
import { isUuid, timeOrderedId } from './ids.ts';

const NOW_MS = Date.parse('2026-01-31T08:00:00.000Z');

describe('ids in the order of time', () => {
  it('are UUIDs of version 7 whatever the random bytes are', () => {
    for (const byte of [0x00, 0x55, 0xaa, 0xff]) {
      const id = timeOrderedId(NOW_MS, new Uint8Array(10).fill(byte));
      expect(isUuid(id)).toBe(true);
      expect(id).toMatch(/^019c1310-e400-7[0-9a-f]{3}-[89ab]/);
    }
  });

  it('sort as the milliseconds in which they were made', () => {
    const earlier = timeOrderedId(NOW_MS, new Uint8Array(10).fill(0xff));
    const later = timeOrderedId(NOW_MS + 1, new Uint8Array(10));
    expect(earlier < later).toBe(true);
  });

  it('keep 74 of the random bits', () => {
    const id = (byte: number, at: number): string => {
      const random = new Uint8Array(10);
      random[at] = byte;
      return timeOrderedId(NOW_MS, random);
    };
    const zero = timeOrderedId(NOW_MS, new Uint8Array(10));
    for (let at = 0; at < 9; at++) expect(id(0x11, at)).not.toBe(zero);
  });
});
