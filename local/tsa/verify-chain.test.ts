import 'reflect-metadata';
import { createHash, randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, it } from '@jest/globals';
import * as x509 from '@peculiar/x509';
import { writePem } from '../../domain/timestamp/pem.ts';
import { buildTimestampRequest } from '../../domain/timestamp/request.ts';
import { readTimestampResponse } from '../../domain/timestamp/token.ts';
import {
  type BundleTrust,
  type TimestampVerdict,
  verifyTimestampResponse,
  verifyTimestampToken,
} from '../../domain/timestamp/verify-token.ts';
import { answerQuery } from './answer-query.ts';
import { makeCa, makeCrl, makeLeaf, type TestCa } from './authority-certificates.ts';
import { makeTestAuthority, type TestAuthority } from './test-authority.ts';

let tsa: TestAuthority;
let leafSerial: string;
const imprint = new Uint8Array(createHash('sha256').update('a checkpoint').digest());
const nonce = new Uint8Array(randomBytes(8));
const DAY_MS = 86_400_000;
const fromNow = (days: number): Date => new Date(Date.now() + days * DAY_MS);

beforeAll(async () => {
  tsa = await makeTestAuthority();
  leafSerial = new x509.X509Certificate(new Uint8Array(tsa.authority.certificate)).serialNumber;
});

async function reply(
  certificate = tsa.authority.certificate,
  chain: readonly Uint8Array[] = [tsa.issuer.der],
  skewMs = 0,
) {
  const authority = { ...tsa.authority, certificate, chain };
  return answerQuery(
    authority,
    buildTimestampRequest({ imprint, nonce }),
    { kind: 'clock-skew', skewMs },
    randomBytes(16).fill(1, 0, 1),
  );
}

async function verify(trust: Partial<BundleTrust> = {}, response = reply()): Promise<TimestampVerdict> {
  const token = readTimestampResponse(await response).token ?? new Uint8Array();
  return verifyTimestampToken(token, { imprint, roots: [tsa.root.der], ...trust });
}

async function accept(crls: readonly Uint8Array[], requireRevocation?: boolean): Promise<TimestampVerdict> {
  return verifyTimestampResponse(await reply(), {
    imprint,
    nonce,
    policies: [tsa.authority.policy],
    roots: [tsa.root.der],
    crls,
    nowMs: Date.now(),
    isSerialUnused: async () => true,
    ...(requireRevocation === undefined ? {} : { requireRevocation }),
  });
}

const points = (verdict: TimestampVerdict): string[] => verdict.failures.map(({ point, code }) => `${point} ${code}`);

async function under(issuer: TestCa, chain: readonly Uint8Array[]): Promise<TimestampVerdict> {
  return verify({}, reply(await makeLeaf(issuer, tsa.keys.publicKey), chain));
}

describe('the path to a root', () => {
  it('refuses another root, one of the same name, and none', async () => {
    const namesake = await makeCa('Proofline test root');
    for (const roots of [[(await makeCa('Other')).der], [namesake.der], []])
      expect(points(await verify({ roots }))).toEqual(['10 CHAIN_UNTRUSTED']);
  });
  it('finds the right one among namesakes, in PEM too', async () => {
    const roots = [
      writePem('CERTIFICATE', (await makeCa('Proofline test root')).der) + writePem('CERTIFICATE', tsa.root.der),
    ];
    expect(points(await verify({ roots }))).toEqual([]);
  });
  it('accepts an issuer or the leaf itself as the anchor', async () => {
    expect((await verify({ roots: [tsa.issuer.der] })).ok).toBe(true);
    expect((await verify({ roots: [tsa.authority.certificate] })).ok).toBe(true);
  });
  it('judges validity at genTime, and says when the certificate ends', async () => {
    const past = await makeLeaf(tsa.issuer, tsa.keys.publicKey, { notBefore: fromNow(-0.5), notAfter: fromNow(-0.1) });
    expect(points(await verify({}, reply(past)))).toEqual(['10 CERTIFICATE_NOT_VALID_AT_TIME']);
    const then = await verify({}, reply(past, undefined, -0.2 * DAY_MS));
    expect(points(then)).toEqual([]);
    expect(Date.parse(then.certificateNotAfter ?? '')).toBeLessThan(Date.now());
    expect(points(await verify({}, reply(undefined, undefined, -2 * DAY_MS)))).toEqual([
      '10 CERTIFICATE_NOT_VALID_AT_TIME',
    ]);
  });
  it('refuses an issuer that is no CA, or is one for other purposes', async () => {
    const fakeKeys = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
    const fake: TestCa = {
      subject: 'CN=Proofline test TSA',
      der: await makeLeaf(tsa.issuer, fakeKeys.publicKey),
      keys: fakeKeys,
    };
    expect(points(await under(fake, [fake.der, tsa.issuer.der]))).toEqual(['10 CERTIFICATE_NOT_CA']);
    const mail = await makeCa('Mail CA', tsa.root, [
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.emailProtection]),
    ]);
    expect(points(await under(mail, [mail.der]))).toEqual(['10 CERTIFICATE_NOT_CA']);
  });
  it('refuses an issuer with a critical extension that nobody here processes', async () => {
    const odd = await makeCa('Odd CA', tsa.root, [
      new x509.Extension('1.3.6.1.4.1.99999.8', true, Uint8Array.of(5, 0)),
    ]);
    expect(points(await under(odd, [odd.der]))).toEqual(['10 CERTIFICATE_CRITICAL_EXTENSION']);
  });
  it('ends on certificates that sign each other', async () => {
    const a = await makeCa('Loop A');
    const b = await makeCa('Loop B', a);
    const again = { ...a, der: (await makeCa('Loop A', b)).der };
    expect(points(await under(b, [b.der, again.der]))).toEqual(['10 CHAIN_UNTRUSTED']);
  });
  it('reports trust that cannot be read instead of throwing', async () => {
    for (const roots of [
      ['not PEM'],
      [Uint8Array.of(1, 2, 3)],
      ['-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----'],
    ])
      expect(points(await verify({ roots }))).toEqual(['10 TRUST_MALFORMED']);
    expect(points(await verify({ crls: ['-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----'] }))).toEqual([
      '10 TRUST_MALFORMED',
    ]);
  });
});

describe('revocation', () => {
  it('is good by lists of every issuer in force, and unverified without', async () => {
    const both = [await makeCrl(tsa.issuer), await makeCrl(tsa.root)];
    expect(await verify({ crls: both })).toMatchObject({ ok: true, revocation: 'good' });
    expect(await accept(both)).toMatchObject({ ok: true, revocation: 'good' });
    expect(await verify({ crls: both.slice(0, 1) })).toMatchObject({ ok: true, revocation: 'unverified' });
    expect(await verify()).toMatchObject({ ok: true, revocation: 'unverified' });
  });
  it('is demanded at acceptance once there are lists, or when told', async () => {
    expect(points(await accept([await makeCrl(tsa.issuer)]))).toEqual(['10 CRL_ABSENT']);
    expect(points(await accept([], true))).toEqual(['10 CRL_ABSENT']);
    expect((await accept([])).ok).toBe(true);
  });
  it('refuses an expired list at acceptance', async () => {
    const stale = await makeCrl(tsa.issuer, [], { thisUpdate: fromNow(-3), nextUpdate: fromNow(-1) });
    expect(points(await accept([stale, await makeCrl(tsa.root)]))).toEqual(['10 CRL_STALE']);
  });
  it('ignores a list that another CA of the same name signed', async () => {
    const namesake = await makeCa('Proofline test issuer');
    const forged = await makeCrl(namesake, [{ serialNumber: leafSerial, revocationDate: fromNow(-1) }]);
    expect(await verify({ crls: [forged] })).toMatchObject({ ok: true, revocation: 'unverified' });
  });
  it('refuses a revoked leaf and a revoked issuer, by a stale list too', async () => {
    const revoked = await makeCrl(tsa.issuer, [{ serialNumber: leafSerial, revocationDate: fromNow(-1) }]);
    expect(await verify({ crls: [revoked] })).toMatchObject({ ok: false, revocation: 'revoked' });
    const issuerSerial = new x509.X509Certificate(new Uint8Array(tsa.issuer.der)).serialNumber;
    const stale = await makeCrl(tsa.root, [{ serialNumber: issuerSerial, revocationDate: fromNow(-2) }], {
      thisUpdate: fromNow(-2),
      nextUpdate: fromNow(-1),
    });
    expect(points(await verify({ crls: [stale] }))).toEqual(['10 CERTIFICATE_REVOKED']);
  });
  it('keeps tokens from before an orderly end, and none from before a compromise', async () => {
    const ended = (reason: x509.X509CrlReason, days: number) =>
      makeCrl(tsa.issuer, [{ serialNumber: leafSerial, revocationDate: fromNow(days), reason }]);
    const { superseded, keyCompromise } = x509.X509CrlReason;
    expect(points(await verify({ crls: [await ended(superseded, 1)] }))).toEqual([]);
    expect(points(await verify({ crls: [await ended(superseded, -1)] }))).toEqual(['10 CERTIFICATE_REVOKED']);
    expect(points(await verify({ crls: [await ended(keyCompromise, 1)] }))).toEqual(['10 CERTIFICATE_REVOKED']);
  });
});
