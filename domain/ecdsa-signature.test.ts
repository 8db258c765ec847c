import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ecdsaDerToRaw, ecdsaRawToDer } from './ecdsa-signature.ts';

/** 32 bytes of which the first `zeros` are zero and the next has its top bit set or not. */
const half = fc
  .tuple(fc.integer({ min: 0, max: 32 }), fc.uint8Array({ minLength: 32, maxLength: 32 }))
  .map(([zeros, bytes]) => bytes.fill(0, 0, zeros));

describe('ECDSA signature forms', () => {
  it('come back the same after a round through DER', () => {
    fc.assert(
      fc.property(half, half, (r, s) => {
        const raw = Uint8Array.of(...r, ...s);
        expect(ecdsaDerToRaw(ecdsaRawToDer(raw))).toEqual(raw);
      }),
    );
  });

  it('are those that OpenSSL writes', () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    for (let i = 0; i < 200; i++) {
      const der = new Uint8Array(sign('sha256', createHash('sha256').update(`${i}`).digest(), privateKey));
      expect(ecdsaRawToDer(ecdsaDerToRaw(der))).toEqual(der);
    }
  });

  it('refuse every truncation, every added byte and a padded integer', () => {
    const der = ecdsaRawToDer(new Uint8Array(64).fill(0x7f));
    for (let end = 0; end < der.length; end++) expect(() => ecdsaDerToRaw(der.subarray(0, end))).toThrow(RangeError);
    expect(() => ecdsaDerToRaw(Uint8Array.of(...der, 0))).toThrow(RangeError);
    const padded = Uint8Array.of(0x30, (der[1] as number) + 1, 0x02, 0x21, 0, ...der.subarray(4));
    expect(() => ecdsaDerToRaw(padded)).toThrow(RangeError);
    expect(() => ecdsaRawToDer(new Uint8Array(63))).toThrow(RangeError);
  });
});
