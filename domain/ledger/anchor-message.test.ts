import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ANCHOR_MESSAGE_MAX_BYTES, buildAnchorMessage, originId, parseAnchorMessage } from './anchor-message.ts';

const root = Uint8Array.from({ length: 32 }, (_, i) => i);

describe('anchor message', () => {
  it('names origin id, size and root in one line', () => {
    expect(originId('localhost/proofline')).toMatch(/^[0-9a-f]{16}$/);
    expect(buildAnchorMessage({ origin: 'localhost/proofline', size: 42n, root })).toBe(
      `pl1|${originId('localhost/proofline')}|42|AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8`,
    );
  });

  it('reads back what it wrote, within 100 bytes, for every size and root', () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        (origin, size, anyRoot) => {
          const message = buildAnchorMessage({ origin, size, root: anyRoot });
          expect(message.length).toBeLessThanOrEqual(ANCHOR_MESSAGE_MAX_BYTES);
          expect(parseAnchorMessage(message)).toEqual({
            originId: originId(origin),
            size,
            root: Uint8Array.from(anyRoot),
          });
        },
      ),
    );
  });

  const good = buildAnchorMessage({ origin: 'o', size: 7n, root });
  it.each([
    ['another version', good.replace('pl1', 'pl2')],
    ['a trailing newline', `${good}\n`],
    ['a leading zero', good.replace('|7|', '|07|')],
    ['a size beyond 64 bits', good.replace('|7|', '|18446744073709551616|')],
    ['upper-case origin id', good.toUpperCase()],
    ['a root with unused bits set', `${good.slice(0, -1)}9`],
    ['a further field', `${good}|x`],
    ['nothing', ''],
  ])('is not read with %s', (_, message) => {
    expect(parseAnchorMessage(message)).toBeUndefined();
  });

  it('refuses a root that is not 32 bytes', () => {
    expect(() => buildAnchorMessage({ origin: 'o', size: 1n, root: root.slice(1) })).toThrow(
      expect.objectContaining({ code: 'LOG_MALFORMED' }),
    );
  });
});
