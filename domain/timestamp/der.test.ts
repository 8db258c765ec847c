import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { fromHex, toHex } from '../bytes.ts';
import {
  DerReader,
  der,
  derOid,
  derSetOf,
  derSmall,
  derUnsigned,
  openWhole,
  readBoolean,
  readNamedBits,
  readOid,
  readSmall,
  readUnsigned,
  readWhole,
  TAG,
} from './der.ts';
import { formatGeneralizedTime, readGeneralizedTime } from './time.ts';

const bytes = (hex: string): Uint8Array => fromHex(hex) ?? new Uint8Array();
const next = (hex: string) => new DerReader(bytes(hex), 'test').next();
const malformed = expect.objectContaining({ name: 'DerFault', code: 'MALFORMED' });
const trailing = expect.objectContaining({ name: 'DerFault', code: 'TRAILING_BYTES' });

describe('reading DER', () => {
  it.each([
    ['an indefinite length', '308000000000'],
    ['a length in long form that fits the short', '04810101'],
    ['a length with a leading zero', `0482007f${'00'.repeat(127)}`],
    ['a length of four bytes', '048400000001ff'],
    ['a tag of two bytes', '1f810100'],
    ['more length than bytes', '040501'],
    ['a missing length', '04'],
    ['a cut length', '0482ff'],
    ['nothing', ''],
  ])('refuses %s', (_, hex) => {
    expect(() => next(hex)).toThrow(malformed);
  });

  it('refuses bytes after the end, outside and inside', () => {
    expect(() => readWhole(bytes('020101ff'), TAG.integer, 'test')).toThrow(trailing);
    const reader = openWhole(bytes('3006020101020102'), TAG.sequence, 'test');
    reader.next();
    expect(() => reader.end()).toThrow(trailing);
  });

  it.each(['02020001', '0202ff80', '0200', '0201ff'])('refuses the integer %s', (hex) => {
    expect(() => readUnsigned(next(hex), 'test')).toThrow(malformed);
  });

  it.each(['010101', '01020000', '0100'])('refuses the boolean %s', (hex) => {
    expect(() => readBoolean(next(hex), 'test')).toThrow(malformed);
  });

  it.each(['0600', '060180', '06022a80', '06032a8001'])('refuses the object identifier %s', (hex) => {
    expect(() => readOid(next(hex), 'test')).toThrow(malformed);
  });

  it('reads named bits and refuses those not in their shortest form', () => {
    expect([...readNamedBits(next('030206c0'), 'test')]).toEqual([0, 1]);
    expect([...readNamedBits(next('0303070080'), 'test')]).toEqual([8]);
    for (const hex of ['030205c0', '030206c1', '03020000', '030108', '0300', '030306c000'])
      expect(() => readNamedBits(next(hex), 'test')).toThrow(malformed);
  });
});

describe('writing DER', () => {
  it('gives back every number, identifier and content that was written', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.uint8Array({ maxLength: 70_000 }),
        fc.array(fc.bigInt(0n, 2n ** 40n), { maxLength: 6 }),
        (small, content, arcs) => {
          expect(readSmall(readWhole(derSmall(small), TAG.integer, 'test'), 'test')).toBe(small);
          expect(toHex(readWhole(der(TAG.octetString, content), TAG.octetString, 'test').content)).toBe(toHex(content));
          const oid = ['1.2', ...arcs].join('.');
          expect(readOid(readWhole(derOid(oid), TAG.oid, 'test'), 'test')).toBe(oid);
        },
      ),
    );
  });

  it('writes integers in their shortest form', () => {
    expect(toHex(derUnsigned(bytes('000080')))).toBe('02020080');
    expect(toHex(derUnsigned(bytes('0000')))).toBe('020100');
    expect(toHex(derUnsigned(new Uint8Array()))).toBe('020100');
  });

  it('writes the identifiers of 2.999 and of SHA-256 as the standard does', () => {
    expect(toHex(derOid('2.999'))).toBe('06028837');
    expect(toHex(derOid('2.16.840.1.101.3.4.2.1'))).toBe('0609608648016503040201');
  });

  it('sorts a SET OF whatever the order of its parts', () => {
    const parts = [derSmall(300), derSmall(2), derOid('1.2.3'), derSmall(1)];
    expect(toHex(derSetOf(TAG.set, parts))).toBe(toHex(derSetOf(TAG.set, [...parts].reverse())));
  });
});

describe('GeneralizedTime', () => {
  it('is written without trailing zeros and read back to the microsecond', () => {
    expect(formatGeneralizedTime(1_769_846_400_120_000n)).toBe('20260131080000.12Z');
    expect(formatGeneralizedTime(1_769_846_400_000_000n)).toBe('20260131080000Z');
    fc.assert(
      fc.property(fc.bigInt(0n, 4_102_444_800_000_000n), (epochMicros) => {
        const text = formatGeneralizedTime(epochMicros);
        const content = Uint8Array.from(text, (char) => char.charCodeAt(0));
        expect(readGeneralizedTime({ tag: TAG.generalizedTime, content, raw: content }, 'test')).toEqual({
          epochMicros,
          text,
        });
      }),
    );
  });
});
