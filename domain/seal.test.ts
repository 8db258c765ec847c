import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { fromBase64Url, toHex, utf8 } from './bytes.ts';
import { canonicalText } from './canonical-json.ts';
import type { ProofId, TenantId } from './ids.ts';
import { formatSeal, keyReference, leafData, leafDataOfText, sealHeader, sealSigningInput } from './seal.ts';
import { type Statement, saltedDigest } from './statement.ts';

const STATEMENT: Statement = {
  type: 'proofline/statement/v1',
  proof: '00000000-0000-4000-8000-000000000001' as ProofId,
  tenant: '00000000-0000-4000-8000-000000000002' as TenantId,
  digest: { alg: 'sha-256', value: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' },
  receivedAt: '2026-11-23T08:00:00.000123Z',
  salt: 'AAAAAAAAAAAAAAAAAAAAAA',
  key: { kid: 'seal', version: 1 },
};

describe('seal', () => {
  it('has a header of one spelling that makes the payload stand unencoded', () => {
    const header = sealHeader('seal', 1);
    expect(utf8.decode(fromBase64Url(header) as Uint8Array)).toBe(
      '{"alg":"ES256","b64":false,"crit":["b64"],"kid":"seal@1"}',
    );
    expect(keyReference('seal', 12)).toBe('seal@12');
  });

  it('signs header, dot and the statement as it is (RFC 7797 §3)', () => {
    const input = sealSigningInput('e30', utf8.encode('{"a":1}'));
    expect(utf8.decode(input)).toBe('e30.{"a":1}');
    expect(formatSeal('e30', Uint8Array.of(1, 2, 3))).toBe('e30..AQID');
  });

  it('makes a leaf of statement and seal alone, whichever way it is computed', () => {
    const seal = 'e30..AQID';
    const text = `{"seal":"e30..AQID","statement":${canonicalText(STATEMENT)}}`;
    expect(toHex(leafData(STATEMENT, seal))).toBe(createHash('sha256').update(text).digest('hex'));
    expect(leafDataOfText(canonicalText(STATEMENT), seal)).toEqual(leafData(STATEMENT, seal));
    expect(leafData(STATEMENT, 'e30..AQIE')).not.toEqual(leafData(STATEMENT, seal));
  });
});

describe('statement', () => {
  it('commits to a reference by its salt and its canonical form', () => {
    const salt = new Uint8Array(16).fill(7);
    const expected = createHash('sha256').update(salt).update('{"a":1,"b":2}').digest('hex');
    expect(saltedDigest(salt, { b: 2, a: 1 })).toBe(expected);
    expect(saltedDigest(new Uint8Array(16), { b: 2, a: 1 })).not.toBe(expected);
  });

  it('reads the same in any order of its members', () => {
    const turned = Object.fromEntries(Object.entries(STATEMENT).reverse());
    expect(canonicalText(turned)).toBe(canonicalText(STATEMENT));
  });
});
