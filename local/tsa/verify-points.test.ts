import 'reflect-metadata';
import { createHash, randomBytes } from 'node:crypto';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import * as x509 from '@peculiar/x509';
import {
  compareDer,
  constructed,
  der,
  derNull,
  derOctets,
  derOid,
  derSequence,
  derSmall,
  TAG,
} from '../../domain/timestamp/der.ts';
import { OID } from '../../domain/timestamp/oids.ts';
import { buildTimestampRequest, buildTimestampResponse } from '../../domain/timestamp/request.ts';
import { readTimestampResponse } from '../../domain/timestamp/token.ts';
import {
  type AcceptanceTrust,
  type TimestampVerdict,
  verifyTimestampResponse,
  verifyTimestampToken,
} from '../../domain/timestamp/verify-token.ts';
import { answerQuery, type TsaAuthority } from './answer-query.ts';
import { makeLeaf } from './authority-certificates.ts';
import { at, decodeDer, editToken, encodeDer, findAttribute, type TokenParts } from './edit-token.ts';
import type { TsaFault } from './faults.ts';
import { makeTestAuthority, type TestAuthority } from './test-authority.ts';

let tsa: TestAuthority;
const imprint = new Uint8Array(createHash('sha256').update('a checkpoint').digest());
const nonce = new Uint8Array(randomBytes(8));
const seen = new Set<string>();

beforeAll(async () => {
  tsa = await makeTestAuthority();
});
afterEach(() => seen.clear());

async function reply(fault?: TsaFault, authority: TsaAuthority = tsa.authority): Promise<Uint8Array> {
  return answerQuery(authority, buildTimestampRequest({ imprint, nonce }), fault, authority.random(16));
}

async function token(authority?: TsaAuthority): Promise<Uint8Array> {
  return readTimestampResponse(await reply(undefined, authority)).token ?? new Uint8Array();
}

const accept = (response: Uint8Array, trust: Partial<AcceptanceTrust> = {}) =>
  verifyTimestampResponse(response, {
    imprint,
    nonce,
    policies: [tsa.authority.policy],
    roots: [tsa.root.der],
    nowMs: Date.now(),
    isSerialUnused: async (serial) => !seen.has(serial) && seen.add(serial).has(serial),
    ...trust,
  });

/** The good token, changed under the signature. */
async function edited(edit: (parts: TokenParts) => void, options?: Parameters<typeof editToken>[3]) {
  return accept(buildTimestampResponse(0, await editToken(await token(), tsa.authority, edit, options)));
}

const points = (verdict: TimestampVerdict): string[] => verdict.failures.map(({ point, code }) => `${point} ${code}`);

/** An authority like the good one with another certificate over its key. */
async function withLeaf(spec: Parameters<typeof makeLeaf>[2], chain = [tsa.issuer.der]): Promise<TsaAuthority> {
  return { ...tsa.authority, certificate: await makeLeaf(tsa.issuer, tsa.keys.publicKey, spec), chain };
}

describe('a good timestamp', () => {
  it('is accepted with what it says, in every signature algorithm', async () => {
    for (const algorithm of ['ES256', 'ES384', 'RS256', 'PS256'] as const) {
      const other = await makeTestAuthority(algorithm);
      const verdict = await accept(await reply(undefined, other.authority), { roots: [other.root.der] });
      expect(points(verdict)).toEqual([]);
      expect(verdict).toMatchObject({
        ok: true,
        policy: other.authority.policy,
        tsaName: 'Proofline test TSA',
        accuracyMicros: 1_000_000,
        revocation: 'unverified',
      });
      expect(verdict.genTimeMicros).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    }
  });

  it('verifies again from the token alone, and over SHA-512 too', async () => {
    expect((await verifyTimestampToken(await token(), { imprint, roots: [tsa.root.der] })).ok).toBe(true);
    const long = new Uint8Array(randomBytes(64));
    const answer = await answerQuery(
      tsa.authority,
      buildTimestampRequest({ imprint: long, nonce }),
      undefined,
      randomBytes(16).fill(1, 0, 1),
    );
    expect(points(await accept(answer, { imprint: long }))).toEqual([]);
  });

  it('is accepted when granted with modifications, since all is checked again', async () => {
    expect((await accept(buildTimestampResponse(1, await token()))).ok).toBe(true);
  });

  it('takes the issuer from the trust when the token carries the leaf alone', async () => {
    const bare = await token({ ...tsa.authority, chain: [] });
    expect(points(await verifyTimestampToken(bare, { imprint, roots: [tsa.root.der] }))).toEqual([
      '10 CHAIN_UNTRUSTED',
    ]);
    const trust = { imprint, roots: [tsa.root.der], certificates: [tsa.issuer.der] };
    expect((await verifyTimestampToken(bare, trust)).ok).toBe(true);
  });
});

describe('point 1, the status', () => {
  it('refuses a rejection and a grant without a token', async () => {
    expect(points(await accept(await reply({ kind: 'status-2' })))).toEqual(['1 STATUS_NOT_GRANTED']);
    expect(points(await accept(buildTimestampResponse(2, await token())))).toEqual(['1 STATUS_NOT_GRANTED']);
    expect(points(await accept(buildTimestampResponse(0)))).toEqual(['1 TOKEN_ABSENT']);
  });
});

describe('point 2, one signer over a TSTInfo', () => {
  it('refuses another content type', async () => {
    const verdict = await edited(({ content }) => {
      content.parts[0] = decodeDer(derOid('1.2.840.113549.1.7.1'));
    });
    expect(points(verdict)).toEqual(['2 CONTENT_NOT_TSTINFO']);
  });
  it('refuses two signers, and none', async () => {
    const two = await edited(({ signerInfos, signer }) => signerInfos.parts.push(signer));
    expect(points(two)).toEqual(['2 NOT_ONE_SIGNER']);
    const none = await edited(({ signerInfos }) => signerInfos.parts.splice(0));
    expect(points(none)).toContain('2 NOT_ONE_SIGNER');
  });
  it('refuses another SignedData version, and an unknown critical extension', async () => {
    const version = await edited(({ data }) => {
      at(data, 0).bytes = Uint8Array.of(1);
    });
    expect(points(version)).toEqual(['2 CONTENT_NOT_TSTINFO']);
    const extension = derSequence(
      derOid('1.3.6.1.4.1.99999.5'),
      der(TAG.boolean, Uint8Array.of(0xff)),
      derOctets(derNull()),
    );
    const critical = await edited(({ tst }) => void tst.parts.push(decodeDer(der(constructed(1), extension))));
    expect(points(critical)).toEqual(['2 TST_EXTENSION_CRITICAL']);
  });
});

describe('point 3, the imprint', () => {
  it('refuses another value, and another algorithm of the same request', async () => {
    expect(points(await accept(await reply({ kind: 'wrong-imprint' })))).toEqual(['3 IMPRINT_MISMATCH']);
    expect(points(await accept(await reply(), { imprint: new Uint8Array(randomBytes(48)) }))).toEqual([
      '3 IMPRINT_MISMATCH',
    ]);
    expect(points(await accept(await reply(), { imprint: new Uint8Array() }))).toEqual(['3 IMPRINT_MISMATCH']);
  });
});

describe('point 4, the nonce', () => {
  it('refuses an absent and a different one', async () => {
    expect(points(await accept(await reply({ kind: 'no-nonce' })))).toEqual(['4 NONCE_ABSENT']);
    expect(points(await accept(await reply({ kind: 'wrong-nonce' })))).toEqual(['4 NONCE_MISMATCH']);
  });
  it('knows a nonce with leading zero bytes', async () => {
    for (const small of [
      [0, 0, 0, 0, 0, 0, 0, 0],
      [0, 0, 0, 0, 0, 0x80, 1, 2],
      [0xff, 0, 0, 0, 0, 0, 0, 0],
    ]) {
      const own = Uint8Array.from(small);
      const answer = await answerQuery(
        tsa.authority,
        buildTimestampRequest({ imprint, nonce: own }),
        undefined,
        Uint8Array.of(5),
      );
      seen.clear();
      expect(points(await accept(answer, { nonce: own }))).toEqual([]);
    }
  });
});

describe('point 5, the policy', () => {
  it('refuses one that is not on the list, and any under an empty list', async () => {
    expect(points(await accept(await reply({ kind: 'wrong-policy' })))).toEqual(['5 POLICY_NOT_ALLOWED']);
    expect(points(await accept(await reply(), { policies: [] }))).toEqual(['5 POLICY_NOT_ALLOWED']);
  });
});

describe('point 6, the signature over the received attributes', () => {
  it('refuses a signature over other bytes', async () => {
    expect(points(await accept(await reply({ kind: 'wrong-signature' })))).toEqual(['6 SIGNATURE_INVALID']);
  });
  it('refuses a messageDigest of another content', async () => {
    const verdict = await edited(({ tst }) => void tst.parts.splice(5, 1), { keepDigest: true });
    expect(points(verdict)).toEqual(['6 MESSAGE_DIGEST_MISMATCH']);
  });
  it('refuses a contentType attribute that is absent or another', async () => {
    const other = await edited(({ attributes }) => {
      const attribute = findAttribute(attributes, OID.contentType);
      if (attribute) at(attribute, 1).parts = [decodeDer(derOid('1.2.840.113549.1.7.1'))];
    });
    expect(points(other)).toContain('6 CONTENT_TYPE_MISMATCH');
    const absent = await edited(({ attributes }) => {
      attributes.parts = attributes.parts.filter((one) => one !== findAttribute(attributes, OID.contentType));
    });
    expect(points(absent)).toEqual(['6 CONTENT_TYPE_MISMATCH']);
  });
  it('refuses attributes out of order though they are signed so, twice, or none', async () => {
    expect(points(await edited(({ attributes }) => void attributes.parts.reverse()))).toEqual(['6 ATTRIBUTES_INVALID']);
    const twice = await edited(({ attributes }) => void attributes.parts.unshift(at(attributes, 0)));
    expect(points(twice)).toEqual(['6 ATTRIBUTES_INVALID']);
    const none = await edited(({ signer }) => void signer.parts.splice(3, 1), { keepSignature: true });
    expect(points(none)).toContain('6 ATTRIBUTES_INVALID');
  });
  it('refuses SHA-1, and an algorithm that is not that of the key', async () => {
    const sha1 = derSequence(derOid('1.3.14.3.2.26'), derNull());
    const weak = await edited(({ signer, data }) => {
      signer.parts[2] = decodeDer(sha1);
      at(data, 1).parts = [decodeDer(sha1)];
    });
    expect(points(weak)).toContain('2 CONTENT_NOT_TSTINFO');
    const weakSignature = await edited(({ signer }) => {
      signer.parts[4] = decodeDer(derSequence(derOid('1.2.840.10045.4.1')));
    });
    expect(points(weakSignature)).toEqual(['6 ALGORITHM_NOT_ALLOWED']);
    const rsa = await edited(({ signer }) => {
      signer.parts[4] = decodeDer(derSequence(derOid(OID.sha256WithRsa), derNull()));
    });
    expect(points(rsa)).toEqual(['6 SIGNATURE_INVALID']);
  });
});

describe('point 7, the signing certificate', () => {
  const replaceEss = (oid: string, value: Uint8Array) =>
    edited(({ attributes }) => {
      const attribute = derSequence(derOid(oid), der(TAG.set, value));
      attributes.parts = attributes.parts
        .map((one) => (one === findAttribute(attributes, OID.signingCertificateV2) ? decodeDer(attribute) : one))
        .sort((a, b) => compareDer(encodeDer(a), encodeDer(b)));
    });
  const certHash = (algorithm: string): Uint8Array => createHash(algorithm).update(tsa.authority.certificate).digest();

  it('refuses a certHash of another certificate, and a token that names none', async () => {
    expect(points(await accept(await reply({ kind: 'wrong-ess' })))).toEqual(['7 SIGNING_CERTIFICATE_MISMATCH']);
    const none = await edited(({ attributes }) => {
      attributes.parts = attributes.parts.filter((one) => one !== findAttribute(attributes, OID.signingCertificateV2));
    });
    expect(points(none)).toEqual(['7 SIGNING_CERTIFICATE_MISMATCH']);
  });
  it('accepts version 1 of the right certificate and refuses it of another', async () => {
    const v1 = (hash: Uint8Array): Uint8Array => derSequence(derSequence(derSequence(derOctets(hash))));
    expect(points(await replaceEss(OID.signingCertificate, v1(certHash('sha1'))))).toEqual([]);
    expect(points(await replaceEss(OID.signingCertificate, v1(randomBytes(20))))).toEqual([
      '7 SIGNING_CERTIFICATE_MISMATCH',
    ]);
  });
  it('refuses a right certHash beside the serial of another certificate, and one that is not the first', async () => {
    const right = derOctets(certHash('sha256'));
    const issuer = new x509.X509Certificate(new Uint8Array(tsa.issuer.der)).subjectName.toArrayBuffer();
    const named = (serial: number): Uint8Array =>
      derSequence(derSequence(der(constructed(4), new Uint8Array(issuer))), derSmall(serial));
    const wrongSerial = derSequence(derSequence(derSequence(right, named(7))));
    expect(points(await replaceEss(OID.signingCertificateV2, wrongSerial))).toEqual(['7 SIGNING_CERTIFICATE_MISMATCH']);
    const second = derSequence(derSequence(derSequence(derOctets(randomBytes(32))), derSequence(right)));
    expect(points(await replaceEss(OID.signingCertificateV2, second))).toEqual(['7 SIGNING_CERTIFICATE_MISMATCH']);
  });
  it('refuses a token without the signer certificate, and a tsa name that is none of it', async () => {
    expect(points(await accept(await reply({ kind: 'no-certificates' })))).toEqual(['7 SIGNER_CERTIFICATE_ABSENT']);
    const renamed = await edited(({ tst }) => {
      at(tst, tst.parts.length - 1).parts = [decodeDer(der(0x82, Buffer.from('tsa.example')))];
    });
    expect(points(renamed)).toEqual(['7 TSA_NAME_MISMATCH']);
  });
});

describe('points 8 and 9, what the key is for', () => {
  it.each(['eku-missing', 'eku-extra', 'eku-not-critical'] as const)('refuses %s', async (kind) => {
    expect(points(await accept(await reply({ kind })))).toEqual(['8 PURPOSE_NOT_TIMESTAMPING']);
  });
  it('counts purposes that nobody knows', async () => {
    const purposes = [new x509.ExtendedKeyUsageExtension([OID.timeStamping, '1.3.6.1.4.1.99999.7'], true)];
    expect(points(await accept(await reply(undefined, await withLeaf({ purposes }))))).toEqual([
      '8 PURPOSE_NOT_TIMESTAMPING',
    ]);
  });
  it('refuses a key that also signs certificates or encrypts, and one without keyUsage', async () => {
    const { digitalSignature, keyCertSign, keyEncipherment, nonRepudiation } = x509.KeyUsageFlags;
    for (const keyUsage of [digitalSignature | keyCertSign, digitalSignature | keyEncipherment, undefined]) {
      const verdict = await accept(await reply(undefined, await withLeaf({ keyUsage })));
      expect(points(verdict)).toEqual(['9 KEY_USAGE_NOT_ALLOWED']);
    }
    const both = await withLeaf({ keyUsage: digitalSignature | nonRepudiation });
    expect(points(await accept(await reply(undefined, both)))).toEqual([]);
  });
});

describe('point 11, the clock', () => {
  it.each([-300_000, 300_000, -62_000, 62_000])('refuses a genTime %i ms off', async (skewMs) => {
    expect(points(await accept(await reply({ kind: 'clock-skew', skewMs })))).toEqual(['11 CLOCK_DRIFT']);
  });
  it('allows a minute and the stated accuracy, but no more than a minute of that', async () => {
    expect(points(await accept(await reply({ kind: 'clock-skew', skewMs: -60_500 })))).toEqual([]);
    const vague = { ...tsa.authority, accuracyMillis: 3_600_000 };
    expect(points(await accept(await reply({ kind: 'clock-skew', skewMs: -110_000 }, vague)))).toEqual([]);
    expect(points(await accept(await reply({ kind: 'clock-skew', skewMs: -130_000 }, vague)))).toEqual([
      '11 CLOCK_DRIFT',
    ]);
  });
});

describe('point 12, strict DER to the last byte', () => {
  it('refuses bytes after the reply, after the token, and inside the TSTInfo', async () => {
    expect(points(await accept(await reply({ kind: 'trailing-bytes' })))).toEqual(['12 TRAILING_BYTES']);
    const longer = Uint8Array.from([...(await token()), 0]);
    expect(points(await verifyTimestampToken(longer, { imprint, roots: [tsa.root.der] }))).toEqual([
      '12 TRAILING_BYTES',
    ]);
    const inside = await edited(({ tst }) => void tst.parts.push(decodeDer(derNull())));
    expect(points(inside)).toEqual(['12 TRAILING_BYTES']);
  });
  it('refuses a truncated reply, an empty one, and one longer than 64 KiB', async () => {
    for (const bytes of [await reply({ kind: 'truncated' }), new Uint8Array(), new Uint8Array(70_000)])
      expect(points(await accept(bytes))).toEqual(['12 MALFORMED']);
  });
  it('refuses a genTime with a trailing zero in its fraction, without seconds, or of no real day', async () => {
    for (const text of [
      '20260131080000.10Z',
      '202601310800Z',
      '20260230080000Z',
      '20260131080000',
      '20260131080000.Z',
    ]) {
      const verdict = await edited(({ tst }) => {
        at(tst, 4).bytes = Buffer.from(text);
      });
      expect(points(verdict)).toEqual(['12 MALFORMED']);
    }
  });
});

describe('point 13, the serial', () => {
  it('refuses one that the store has seen', async () => {
    const answer = await reply();
    expect((await accept(answer)).ok).toBe(true);
    expect(points(await accept(answer))).toEqual(['13 SERIAL_REUSED']);
  });
  it('lets the failure of the store through instead of judging', async () => {
    const down = async (): Promise<boolean> => {
      throw new Error('the store is down');
    };
    await expect(accept(await reply(), { isSerialUnused: down })).rejects.toThrow('the store is down');
  });
});

it('names every fault of a token that has several', async () => {
  const verdict = await accept(await reply({ kind: 'clock-skew' }), {
    imprint: new Uint8Array(32),
    nonce: new Uint8Array(8),
    policies: ['1.2.3'],
    roots: [],
  });
  expect(points(verdict)).toEqual([
    '3 IMPRINT_MISMATCH',
    '4 NONCE_MISMATCH',
    '5 POLICY_NOT_ALLOWED',
    '10 CHAIN_UNTRUSTED',
    '11 CLOCK_DRIFT',
  ]);
});
