import 'reflect-metadata';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { extendToLta } from '../../activities/rendering/sign-pdf.ts';
import { canonicalBytes } from '../../domain/canonical-json.ts';
import type { TrustDocument } from '../../domain/trust.ts';
import { payloadOf } from '../../local/evidence/instance.ts';
import { HOUR_MS, makeCrl, makeLeaf, makeStamps, TSA_EXTENSIONS } from '../../test/pdf/authorities.ts';
import { type BadPdf, tamperedPdfs, wronglySignedPdfs } from '../../test/pdf/bad-pdfs.ts';
import { smallPdf } from '../../test/pdf/small-pdf.ts';
import { type Levels, makeLevels, makePdfWorld, type PdfWorld, trustOf } from '../../test/pdf/world.ts';
import { makeScene, type Scene } from '../../test/vectors/scene.ts';
import type { PDF_CLAIMS, PdfVerificationResult } from './pdf-verdict.ts';
import { type VerifyPdfOptions, verifyPdf } from './verify-pdf.ts';

const AT = Date.parse('2026-11-23T09:00:00Z');
const DAY_MS = 24 * HOUR_MS;
let scene: Scene;
let world: PdfWorld;
let unsigned: Uint8Array;
let levels: Levels;
let trust: TrustDocument;

beforeAll(async () => {
  scene = await makeScene();
  world = await makePdfWorld('ES256', AT);
  trust = trustOf(world, scene.trust);
  unsigned = smallPdf(canonicalBytes(payloadOf(scene.good, scene.anchor)));
  levels = await makeLevels(world, unsigned);
});

const verify = (bytes: Uint8Array, more: Partial<VerifyPdfOptions> = {}) =>
  verifyPdf(bytes, { trust, nowMs: AT + DAY_MS, ...more });
const claimOf = ({ claims }: PdfVerificationResult, name: (typeof PDF_CLAIMS)[number]): string =>
  `${claims[name].verdict} ${claims[name].reason}`;

describe('a certificate PDF', () => {
  it('is unproven at B-T, since no list shows that its certificates were not revoked', async () => {
    const result = await verify(levels['B-T']);
    expect(result).toMatchObject({ overall: 'unverified', level: 'B-T', trust: 'pinned' });
    expect(claimOf(result, 'signature')).toBe('valid pdf-signature-good');
    expect(claimOf(result, 'key')).toBe('unverified signer-revocation-unverified');
    expect(claimOf(result, 'timestamp')).toBe('unverified revocation-unverified');
    expect(result.subject?.time).toBeUndefined();
  });

  it.each(['ES256', 'RS256', 'PS256'] as const)('is valid from B-LT on, signed by %s', async (alg) => {
    const other = await makePdfWorld(alg, AT);
    const made = await makeLevels(other, unsigned);
    const more = { trust: trustOf(other, scene.trust) };
    expect(await verify(made['B-LT'], more)).toMatchObject({ overall: 'valid', level: 'B-LT' });
    expect(await verify(made['B-LTA'], more)).toMatchObject({ overall: 'valid', level: 'B-LTA' });
    const renewed = await verify(made.renewed, more);
    expect(renewed).toMatchObject({ overall: 'valid', level: 'B-LTA' });
    expect(renewed.revisions?.map(({ holds }) => holds)).toEqual([
      'content',
      'signature',
      'validation-data',
      'timestamp',
      'validation-data',
      'timestamp',
    ]);
    expect(renewed.subject).toEqual({
      proof: scene.good.statement.proof,
      digest: scene.good.statement.digest,
      certificateNumber: 'PL-2026-000003',
      time: '2026-11-23T09:00:00.000000Z',
    });
  });

  it('agrees with the digest of the file, and not with another', async () => {
    const { digest } = scene.good.statement;
    expect((await verify(levels['B-LT'], { digest })).claims.digest.verdict).toBe('valid');
    expect(await verify(levels['B-LT'], { digest: { ...digest, value: '0'.repeat(64) } })).toMatchObject({
      overall: 'invalid',
      claims: { digest: { reason: 'digest-differs' } },
    });
  });

  it('agrees with its bundle, which is judged too, and not with that of another proof', async () => {
    const own = await verify(levels['B-LT'], { bundle: JSON.stringify(scene.good) });
    expect(own).toMatchObject({ overall: 'valid', bundle: { overall: 'valid' } });
    expect(claimOf(own, 'bundle')).toBe('valid bundle-equal');
    const other = await verify(levels['B-LT'], { bundle: scene.neighbour });
    expect(other).toMatchObject({ overall: 'invalid', bundle: { overall: 'valid' } });
    expect(claimOf(other, 'bundle')).toBe('invalid bundle-differs');
    expect(await verify(levels['B-LT'], { bundle: '{}' })).toMatchObject({ overall: 'invalid' });
    const { certificate: _certificate, ...early } = scene.good;
    const waiting = await verify(levels['B-LT'], { bundle: { ...early, pending: ['certificate'] } });
    expect(claimOf(waiting, 'bundle')).toBe('pending pending');
  });

  it('is at most unverified without a trust file', async () => {
    const { trust: _trust, ...options } = { trust, nowMs: AT + DAY_MS };
    const result = await verifyPdf(levels['B-LTA'], options);
    expect(result).toMatchObject({ overall: 'unverified', trust: 'own-keys' });
    expect(claimOf(result, 'key')).toBe('unverified signing-root-not-pinned');
    expect(claimOf(result, 'timestamp')).toBe('unverified tsa-root-not-pinned');
    expect(claimOf(result, 'signature')).toBe('valid pdf-signature-good');
  });

  it('outlives the certificate of its timestamp only under a later one', async () => {
    const later = { nowMs: AT + 400 * DAY_MS };
    const ended = await verify(levels['B-LTA'], later);
    expect(ended.overall).toBe('unverified');
    expect(claimOf(ended, 'timestamp')).toBe('unverified token-expired');
    const leaf = await makeLeaf(world.tsa, 'Proofline test authority', {
      alg: 'ES256',
      atMs: AT,
      days: 1_000,
      usage: 1,
      extensions: TSA_EXTENSIONS,
    });
    const clock = { nowMs: AT + 2 * HOUR_MS };
    const protectedPdf = await extendToLta(levels['B-LT'], await makeStamps(world.tsa, leaf, clock));
    const held = await verify(protectedPdf, later);
    expect(held.overall).toBe('valid');
    expect(claimOf(held, 'timestamp')).toBe('expired-but-protected token-expired-renewed');
    clock.nowMs = AT + 399 * DAY_MS;
    const late = await verify(await extendToLta(levels['B-LT'], await makeStamps(world.tsa, leaf, clock)), later);
    expect(claimOf(late, 'archive')).toBe('invalid archive-bad');
  });

  it('stands when its key was revoked after the timestamp', async () => {
    const entries = [{ serialNumber: world.signer.serialNumber, atMs: AT + HOUR_MS }];
    const { addDss } = await import('../../activities/rendering/add-dss.ts');
    const lists = [await makeCrl(world.signing, AT + 2 * HOUR_MS, entries), await makeCrl(world.tsa, AT + 2 * HOUR_MS)];
    const result = await verify(addDss(levels['B-T'], { certificates: [], crls: lists }));
    expect(result.overall).toBe('valid');
    expect(claimOf(result, 'key')).toBe('valid key-compromised-later');
  });

  it('is not one when the key is published for another purpose', async () => {
    const { publicKey } = world.signer.keys;
    const { x = '', y = '' } = await crypto.subtle.exportKey('jwk', publicKey);
    const [seal] = scene.trust.jwks.keys;
    if (seal === undefined) throw new Error('no key');
    const keys = [...scene.trust.jwks.keys, { ...seal, version: 2, jwk: { ...seal.jwk, x, y } }];
    const result = await verify(levels['B-LT'], { trust: { ...trust, jwks: { keys } } });
    expect(claimOf(result, 'key')).toBe('invalid signing-certificate-bad');
  });
});

describe('a file that is none', () => {
  it('is refused by the claim that it contradicts', async () => {
    const bad: BadPdf[] = [...tamperedPdfs(levels), ...(await wronglySignedPdfs(world, unsigned, levels))];
    const seen: Record<string, string> = {};
    const expected: Record<string, string> = {};
    for (const { name, bytes, overall, claim, reason } of bad) {
      const result = await verify(bytes);
      seen[name] = `${result.overall}: ${claim} ${result.claims[claim].reason}`;
      expected[name] = `${overall}: ${claim} ${reason}`;
    }
    expect(seen).toEqual(expected);
    expect(bad.length).toBeGreaterThan(30);
  });
});
