import { createHash, X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { der, derOctets, derOid, derSequence, openWhole, TAG } from '../../domain/timestamp/der.ts';
import { OID } from '../../domain/timestamp/oids.ts';
import { createRoot, issueCertificate, newPrivateKey, publicKeyOf } from '../keys/certificates.ts';
import type { KeyVersion } from './key-version.ts';
import { isTokenAttributes, requirePdfAttributes } from './signed-attributes.ts';
import { attribute, pdfAttributes, tokenAttributes } from './test-attributes.ts';

const document = Buffer.from('the document');
const docDigest = createHash('sha256').update(document).digest('hex');
let key: KeyVersion;
let certificate: Uint8Array;
let another: Uint8Array;

beforeAll(async () => {
  const issuer = await createRoot('root', Date.now());
  const issue = async (): Promise<string> =>
    issueCertificate(issuer, {
      commonName: 'pdf',
      spki: await publicKeyOf(newPrivateKey()),
      entity: { kind: 'signing' },
      nowMs: Date.now(),
      days: 1,
    });
  const when = new Date().toISOString();
  const leaf = await issue();
  key = { kid: 'pdf', version: 1, purpose: 'pdf', alg: 'ES256', chain: [leaf], createdAt: when, activateAt: when };
  certificate = new Uint8Array(new X509Certificate(leaf).raw);
  another = new Uint8Array(new X509Certificate(await issue()).raw);
});

const judge = (value: Uint8Array, context: Record<string, string> = { docDigest }): void =>
  requirePdfAttributes(key, [value], context);
const parts = (value: Uint8Array): Uint8Array[] =>
  openWhole(value, TAG.set, 'set')
    .rest(16)
    .map(({ raw }) => raw);

describe('signed attributes of a PDF', () => {
  it('pass when they are sorted, for the document declared, and name the certificate of the key', () => {
    expect(() => judge(pdfAttributes({ document, certificate }))).not.toThrow();
    const protection = attribute('1.2.840.113549.1.9.52', derSequence(derSequence(derOid(OID.sha256))));
    expect(() => judge(pdfAttributes({ document, certificate, more: [protection] }))).not.toThrow();
  });

  it.each<[string, () => Uint8Array, string]>([
    ['are for another document', () => pdfAttributes({ document: Buffer.from('other'), certificate }), 'declared'],
    ['name another certificate', () => pdfAttributes({ document, certificate: another }), 'certHash'],
    [
      'state a signing time',
      () =>
        pdfAttributes({
          document,
          certificate,
          more: [attribute('1.2.840.113549.1.9.5', der(TAG.utcTime, Buffer.from('261123000000Z')))],
        }),
      'signing-time',
    ],
    [
      'are not sorted',
      () => der(TAG.set, ...parts(pdfAttributes({ document, certificate })).toReversed()),
      'not sorted',
    ],
    [
      'repeat an attribute',
      () => pdfAttributes({ document, certificate, more: [attribute(OID.contentType, derOid(OID.tstInfo))] }),
      'twice',
    ],
    ['are those of a token', () => pdfAttributes({ document, certificate, contentType: OID.tstInfo }), 'content type'],
    [
      'hold an attribute that nobody knows',
      () => pdfAttributes({ document, certificate, more: [attribute('1.2.3.4', derOctets(Uint8Array.of(1)))] }),
      '1.2.3.4',
    ],
    ['lack the digest', () => der(TAG.set, ...parts(pdfAttributes({ document, certificate })).slice(0, 1)), 'missing'],
    ['bear a byte too much', () => Buffer.concat([pdfAttributes({ document, certificate }), Buffer.of(0)]), 'after'],
    ['are a sequence', () => derSequence(...parts(pdfAttributes({ document, certificate }))), 'expected tag'],
  ])('are refused when they %s', (_, make, reason) => {
    expect(() => judge(make())).toThrow(reason);
  });

  it('are not signed blindly: without a digest declared, or two at once', () => {
    const value = pdfAttributes({ document, certificate });
    expect(() => judge(value, {})).toThrow('docDigest');
    expect(() => judge(value, { docDigest: docDigest.toUpperCase() })).toThrow('docDigest');
    expect(() => requirePdfAttributes(key, [value, value], { docDigest })).toThrow('one document');
  });
});

describe('signed attributes of a token', () => {
  it('are told from those of a document', () => {
    expect(isTokenAttributes(tokenAttributes())).toBe(true);
    expect(isTokenAttributes(pdfAttributes({ document, certificate }))).toBe(false);
    expect(isTokenAttributes(Uint8Array.of(0x31, 0))).toBe(false);
    expect(isTokenAttributes(Uint8Array.of(0x31, 2, 5, 0))).toBe(false);
  });
});
