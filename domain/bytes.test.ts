import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { concatBytes, equalBytes, fromBase64Url, fromHex, toBase64Url, toHex, utf8 } from './bytes.ts';

const bytes = fc.uint8Array({ maxLength: 300 });

describe('bytes as text', () => {
  it('agree with Node and come back as they were', () => {
    fc.assert(
      fc.property(bytes, (value) => {
        expect(toBase64Url(value)).toBe(Buffer.from(value).toString('base64url'));
        expect(toHex(value)).toBe(Buffer.from(value).toString('hex'));
        expect(fromBase64Url(toBase64Url(value))).toEqual(new Uint8Array(value));
        expect(fromHex(toHex(value))).toEqual(new Uint8Array(value));
      }),
      { seed: 1 },
    );
  });

  it('have one base64url spelling: what is read is written the same', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'AQgw018-_+/= '), maxLength: 12 }), (text) => {
        const read = fromBase64Url(text);
        if (read !== undefined) expect(toBase64Url(read)).toBe(text);
      }),
      { seed: 1, numRuns: 2_000 },
    );
  });

  it.each(['A', 'AB', 'AAB', 'AA==', 'AA=', 'A A', 'AA+A', 'AA/A', 'AAA\n', 'ÄA'])(
    'refuse the base64url %j',
    (text) => {
      expect(fromBase64Url(text)).toBeUndefined();
    },
  );

  it.each(['a', 'AA', '0g', '0x00', ' 00', '00\n'])('refuse the hex %j', (text) => {
    expect(fromHex(text)).toBeUndefined();
  });

  it('refuse ill-formed UTF-8 and keep a byte order mark', () => {
    expect(() => utf8.decode(Uint8Array.of(0xc0, 0xaf))).toThrow(/utf-8/);
    expect(() => utf8.decode(Uint8Array.of(0xed, 0xa0, 0x80))).toThrow(/utf-8/);
    expect(utf8.decode(Uint8Array.of(0xef, 0xbb, 0xbf, 0x41))).toBe('\ufeffA');
  });

  it('are equal only with the same length and content', () => {
    expect(equalBytes(Uint8Array.of(1, 2), concatBytes(Uint8Array.of(1), Uint8Array.of(2)))).toBe(true);
    expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1))).toBe(false);
    expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false);
  });
});
