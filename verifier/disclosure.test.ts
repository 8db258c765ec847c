import { beforeAll, describe, expect, it } from '@jest/globals';
import { type Disclosure, parseDisclosure } from '../domain/disclosure.ts';
import { saltedDigest } from '../domain/statement.ts';
import { assemble, checkpointOf, createInstance, digestOf, sealProof, stamp } from '../local/evidence/instance.ts';
import { type VerificationResult, verifyBundle } from './index.ts';

const REFERENCE_SALT = new Uint8Array(16).fill(1);
const METADATA_SALT = new Uint8Array(16).fill(2);
const metadata = { b: 1.5, a: ['ü', null, true] };
const GOOD: Disclosure = {
  reference: 'invoice 7',
  referenceSalt: 'AQEBAQEBAQEBAQEBAQEBAQ',
  metadata: { a: ['ü', null, true], b: 1.5 },
  metadataSalt: 'AgICAgICAgICAgICAgICAg',
};
let verify: (disclosure: Disclosure) => Promise<VerificationResult>;

beforeAll(async () => {
  const instance = await createInstance('alpha');
  const sealed = sealProof(instance, 1, digestOf('file'), instance.seal, {
    referenceDigest: saltedDigest(REFERENCE_SALT, 'invoice 7'),
    metadataDigest: saltedDigest(METADATA_SALT, metadata),
  });
  const log = await checkpointOf(instance, [sealed.leaf]);
  const token = await stamp(instance, log.body);
  const bundle = assemble(instance, { sealed, index: 0, log, timestamps: [token], anchors: [] });
  verify = (disclosure) =>
    verifyBundle(JSON.stringify(bundle), {
      trust: instance.trust,
      nowMs: Date.parse('2026-12-01T00:00:00Z'),
      disclosure: parseDisclosure(JSON.stringify(disclosure)),
    });
});

describe('a disclosure', () => {
  it('is valid for the values that the statement commits to, whatever the order of members', async () => {
    expect(await verify(GOOD)).toMatchObject({
      overall: 'valid',
      disclosure: {
        reference: { verdict: 'valid', reason: 'disclosed-equal' },
        metadata: { verdict: 'valid', reason: 'disclosed-equal' },
      },
    });
  });

  it('may withhold either value', async () => {
    const { reference = '', referenceSalt = '' } = GOOD;
    const result = await verify({ reference, referenceSalt });
    expect({ overall: result.overall, told: Object.keys(result.disclosure ?? {}) }).toEqual({
      overall: 'valid',
      told: ['reference'],
    });
  });

  it.each<[string, Disclosure]>([
    ['another reference', { ...GOOD, reference: 'invoice 8' }],
    ['another salt', { ...GOOD, metadataSalt: 'AgICAgICAgICAgICAgICAw' }],
    ['a changed member of the metadata', { ...GOOD, metadata: { ...metadata, b: 1.6 } }],
    ['a further member of the metadata', { ...GOOD, metadata: { ...metadata, c: 1 } }],
    ['the metadata of nobody', { ...GOOD, metadata: {} }],
  ])('with %s makes all invalid', async (_name, disclosure) => {
    const result = await verify(disclosure);
    expect(result.overall).toBe('invalid');
    expect(Object.values(result.disclosure ?? {}).map(({ reason }) => reason)).toContain('disclosed-differs');
  });

  it.each([
    ['a value without its salt', '{"reference":"a"}', 'DISCLOSURE_MALFORMED'],
    ['a salt without its value', '{"metadataSalt":"AgICAgICAgICAgICAgICAg"}', 'DISCLOSURE_MALFORMED'],
    ['a salt of another length', '{"reference":"a","referenceSalt":"AAAA"}', 'DISCLOSURE_MALFORMED'],
    ['an unknown member', '{"salt":"x"}', 'DISCLOSURE_MALFORMED'],
    ['metadata that is no object', '{"metadata":[],"metadataSalt":"AgICAgICAgICAgICAgICAg"}', 'DISCLOSURE_MALFORMED'],
    ['a member twice', '{"reference":"a","reference":"b"}', 'JSON_DUPLICATE_KEY'],
    ['no JSON', 'xyz', 'BODY_MALFORMED'],
  ])('is refused with %s', (_name, text, code) => {
    expect(() => parseDisclosure(text)).toThrow(expect.objectContaining({ code }));
  });
});
