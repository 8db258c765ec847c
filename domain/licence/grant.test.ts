import { beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { toBase64Url, utf8 } from '../bytes.ts';
import { canonicalText } from '../canonical-json.ts';
import type { TenantId } from '../ids.ts';
import { type BaseGrant, type Grant, grantHash, parseGrantFile } from './grant.ts';
import {
  type IssuerKey,
  instanceFingerprint,
  issueGrant,
  parseIssuerKey,
  parseIssuerKeys,
  verifyGrantSignature,
} from './issuers.ts';

const GRANT: BaseGrant = {
  type: 'proofline/grant/v1',
  kind: 'BASE',
  grantId: 'grant-1',
  seq: 1,
  tenant: '11111111-1111-4111-8111-111111111111' as TenantId,
  instanceFingerprint: instanceFingerprint('test'),
  term: { type: 'MONTHLY', count: 12, anchorDate: '2026-01-31', timeZone: 'Europe/Paris', rollover: 0 },
  quota: 100,
  allocations: [],
  entitlements: ['pdf'],
  notBefore: '2026-01-01T00:00:00Z',
};

let issuer: IssuerKey;
let publicSet: string;
beforeAll(async () => {
  const pair = (await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify'])) as CryptoKeyPair;
  const jwk = await crypto.subtle.exportKey('jwk', pair.privateKey);
  issuer = parseIssuerKey(JSON.stringify({ kid: 'k1', ...jwk }));
  publicSet = JSON.stringify({ keys: [{ kid: 'k1', kty: jwk.kty, crv: jwk.crv, x: jwk.x }] });
});

/** A file over any payload text, signed by nobody. */
function unsigned(
  payload: string,
  header = canonicalText({ alg: 'EdDSA', kid: 'k1', typ: 'proofline-grant+jws' }),
): string {
  return [utf8.encode(header), utf8.encode(payload), new Uint8Array(64)].map(toBase64Url).join('.');
}

describe('a grant file', () => {
  it('is read as it was issued and verifies under its issuer', async () => {
    const file = await issueGrant(GRANT, issuer);
    const read = parseGrantFile(file);
    expect(read.grant).toEqual(GRANT);
    expect(read.hash).toBe(grantHash(file));
    await expect(verifyGrantSignature(read, parseIssuerKeys(publicSet))).resolves.toBeUndefined();
  });

  it.each<[string, Grant]>([
    ['ADDENDUM', { ...common('ADDENDUM'), addendumOf: 'grant-1', quota: 5, allocations: [], entitlements: [] }],
    ['REVOCATION', { ...common('REVOCATION'), revokes: 'grant-1' }],
    ['TRANSFER', { ...common('TRANSFER'), addendumOf: 'grant-1', allocations: [] }],
  ])('may be of kind %s', async (_, grant) => {
    expect(parseGrantFile(await issueGrant(grant, issuer)).grant).toEqual(grant);
  });

  it('does not verify once any of its characters is another', async () => {
    const file = await issueGrant(GRANT, issuer);
    const keys = parseIssuerKeys(publicSet);
    await fc.assert(
      fc.asyncProperty(fc.nat(file.length - 1), fc.constantFrom(...'AZaz09-_.'), async (at, c) => {
        fc.pre(file[at] !== c);
        const changed = file.slice(0, at) + c + file.slice(at + 1);
        await expect((async () => verifyGrantSignature(parseGrantFile(changed), keys))()).rejects.toThrow(
          /GRANT_(MALFORMED|ISSUER_UNKNOWN|SIGNATURE_INVALID)/,
        );
      }),
      { numRuns: 150 },
    );
  });

  it('is not accepted under a key that is not configured', async () => {
    const file = parseGrantFile(await issueGrant(GRANT, { ...issuer, kid: 'k2' }));
    await expect(verifyGrantSignature(file, parseIssuerKeys(publicSet))).rejects.toThrow('no issuer key "k2"');
  });

  it.each<[string, string]>([
    ['random text', 'hello'],
    ['two parts', 'e30.e30'],
    ['four parts', 'e30.e30.e30.e30'],
    ['padded base64', `${unsigned(canonicalText(GRANT))}=`],
    ['a short signature', unsigned(canonicalText(GRANT)).slice(0, -4)],
    ['a payload that is not JSON', unsigned('{')],
    ['a payload in another spelling', unsigned(JSON.stringify(GRANT))],
    ['a member named twice', unsigned(`{"a":1,${canonicalText(GRANT).slice(1)}`.replace('{"a":1', '{"a":1,"a":1'))],
    ['an unknown member', unsigned(canonicalText({ ...GRANT, more: 1 }))],
    ['a missing member', unsigned(canonicalText({ ...GRANT, quota: undefined }))],
    ['a fractional quota', unsigned(canonicalText({ ...GRANT, quota: 1.5 }))],
    ['a negative quota', unsigned(canonicalText({ ...GRANT, quota: -1 }))],
    ['a zone that is none', unsigned(canonicalText({ ...GRANT, term: { ...GRANT.term, timeZone: 'Europe/Nowhere' } }))],
    ['an offset for a zone', unsigned(canonicalText({ ...GRANT, term: { ...GRANT.term, timeZone: '+01:00' } }))],
    ['a second without predecessor', unsigned(canonicalText({ ...GRANT, seq: 2 }))],
    ['a first with predecessor', unsigned(canonicalText({ ...GRANT, previousGrantHash: '0'.repeat(64) }))],
    ['a revocation with a quota', unsigned(canonicalText({ ...common('REVOCATION'), revokes: 'x', quota: 1 }))],
    ['another algorithm', unsigned(canonicalText(GRANT), '{"alg":"none","kid":"k1","typ":"proofline-grant+jws"}')],
    ['another type', unsigned(canonicalText(GRANT), '{"alg":"EdDSA","kid":"k1","typ":"JWT"}')],
    ['too much', 'A'.repeat(65_537)],
  ])('is refused: %s', (_, file) => {
    expect(() => parseGrantFile(file)).toThrow('GRANT_MALFORMED');
  });

  it('is never made of a grant that no import reads', async () => {
    await expect(issueGrant({ ...GRANT, quota: -1 }, issuer)).rejects.toThrow('$.quota');
  });
});

describe('issuer keys', () => {
  it('are refused with their private half', () => {
    const set = JSON.stringify({ keys: [{ kid: 'k1', ...issuer.jwk }] });
    expect(() => parseIssuerKeys(set)).toThrow('holds its private half');
  });

  it('are refused with one id for two', () => {
    const { keys } = JSON.parse(publicSet);
    expect(() => parseIssuerKeys(JSON.stringify({ keys: [...keys, ...keys] }))).toThrow('there twice');
  });

  it('are never shown by a refusal', () => {
    const text = JSON.stringify({ kid: 'k1', ...issuer.jwk, crv: 'P-256' });
    expect(() => parseIssuerKey(text)).toThrow('CONFIG_INVALID');
    expect(() => parseIssuerKey(text)).not.toThrow(`${issuer.jwk.d}`);
  });
});

function common<K extends Grant['kind']>(kind: K) {
  const { type, grantId, seq, tenant, instanceFingerprint, notBefore } = GRANT;
  return { type, grantId, seq, tenant, instanceFingerprint, notBefore, kind } as const;
}
