import { execFile } from 'node:child_process';
import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createRevocationSource, type RevocationSource } from '../../activities/revocation/revocation-source.ts';
import { createTsaPool, type TsaAttempt, type TsaPool } from '../../activities/timestamping/tsa-pool.ts';
import { systemClock } from '../../domain/clock.ts';
import { writePem } from '../../domain/timestamp/pem.ts';
import { verifyTimestampToken } from '../../domain/timestamp/verify-token.ts';
import { type OpensslTsa, startOpensslTsa } from '../../test/support/openssl-tsa.ts';
import { ensureLocalKeys, type LocalKeys, localKeyPaths } from '../keys/ensure-local-keys.ts';
import { writeDurably } from '../keys/write-durably.ts';
import type { TsaFaultKind } from '../tsa/faults.ts';
import { LOCAL_TSA_POLICY } from '../tsa/policy.ts';
import { nodeSigner } from '../tsa/sign-in-process.ts';
import { type RunningTsa, startTsa } from '../tsa/start-tsa.ts';
import { type RunningLists, startLists } from './publish-lists.ts';
import { revokeCertificate } from './revoked-file.ts';

let dir: string;
let keys: LocalKeys;
let lists: RunningLists;
let tsa: RunningTsa;
let openssl: OpensslTsa;
let root: string;
let source: RevocationSource;
let pool: TsaPool;
let attempts: TsaAttempt[];
const clock = systemClock();

/** One of our authorities, its certificate naming a published list, and openssl's, whose certificate names none. */
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'proofline-lists-'));
  lists = await startLists({ keys: localKeyPaths(dir), clock });
  await writeDurably(localKeyPaths(dir).crlBaseFile, `${lists.url}\n`);
  keys = await ensureLocalKeys(dir, clock);
  root = await readFile(keys.tsaSecond.root.certFile, 'utf8');
  openssl = await startOpensslTsa();
  tsa = await startTsa({
    certificate: new Uint8Array(new X509Certificate(await readFile(keys.tsaSecond.leaf.certFile)).raw),
    chain: [],
    sign: nodeSigner(createPrivateKey(await readFile(keys.tsaSecond.leaf.keyFile)), 'RS256'),
    signatureAlgorithm: 'RS256',
    policy: LOCAL_TSA_POLICY,
    clock,
    random: (length) => new Uint8Array(randomBytes(length)),
  });
});
afterAll(async () => {
  await tsa.stop();
  await openssl.stop();
  await lists.stop();
  await rm(dir, { recursive: true, force: true });
});

beforeEach(async () => {
  await source?.close();
  await pool?.close();
  tsa.setFault(undefined);
  attempts = [];
  source = createRevocationSource({ issuers: [root], clock, timeoutMs: 500 });
  pool = createTsaPool({
    tsas: [
      { name: 'ours', url: tsa.url, policies: [LOCAL_TSA_POLICY], roots: [root], selfOperated: true },
      {
        name: 'openssl',
        url: openssl.url,
        policies: [openssl.policy],
        roots: [writePem('CERTIFICATE', openssl.authority.root.der)],
        selfOperated: false,
      },
    ],
    clock,
    random: (length) => new Uint8Array(randomBytes(length)),
    isSerialUnused: async () => true,
    timeoutMs: 2_000,
    revocation: source,
    onAttempt: (attempt) => attempts.push(attempt),
  });
});
afterAll(async () => {
  await source.close();
  await pool.close();
});

describe('a pool that fetches revocation lists', () => {
  const imprint = new Uint8Array(randomBytes(32));

  it('finds the chain good by the published list, and keeps that list for the bundle', async () => {
    const stamped = await pool.stamp(imprint);
    expect(stamped).toMatchObject({ tsa: 'ours', revocation: 'good' });
    expect(stamped.crls).toHaveLength(1);
    const later = await verifyTimestampToken(stamped.token, { imprint, roots: [root], crls: stamped.crls });
    expect(later).toMatchObject({ ok: true, revocation: 'good' });
    const leaf = new X509Certificate(await readFile(keys.tsaSecond.leaf.certFile));
    expect(Date.parse(stamped.endsAt)).toBe(Date.parse(leaf.validTo));
  });

  it.each<TsaFaultKind>(['wrong-nonce', 'truncated-token', 'hang', 'clock-skew', 'http-503', 'wrong-ess'])(
    'has openssl stamp when ours answers with %s',
    async (kind) => {
      tsa.setFault({ kind });
      expect(await pool.stamp(imprint)).toMatchObject({ tsa: 'openssl', revocation: 'unverified', crls: [] });
    },
  );

  it('does without an authority whose list cannot be had', async () => {
    await lists.stop();
    try {
      expect((await pool.stamp(imprint)).tsa).toBe('openssl');
      expect(attempts[0]).toMatchObject({
        outcome: 'TSA_UNAVAILABLE',
        detail: expect.stringMatching(/^revocation: .*ECONNREFUSED/),
      });
    } finally {
      const port = Number(new URL(lists.url).port);
      lists = await startLists({ keys, clock, port });
    }
  });

  it('does without an authority whose certificate is revoked', async () => {
    const leaf = await readFile(keys.tsaSecond.leaf.certFile, 'utf8');
    await revokeCertificate(keys, 'tsa-second', leaf, { reason: 'keyCompromise', at: clock.nowMicros() });
    expect((await pool.stamp(imprint)).tsa).toBe('openssl');
    expect(attempts[0]).toMatchObject({
      outcome: 'TSA_BAD_TOKEN',
      detail: expect.stringContaining('CERTIFICATE_REVOKED'),
    });
  });
});

it('publishes lists that openssl reads and finds good', async () => {
  for (const name of ['signing', 'tsa', 'tsa-second'] as const) {
    const answer = await fetch(`${lists.url}${name}.crl`);
    expect(answer.headers.get('content-type')).toBe('application/pkix-crl');
    const path = join(dir, `${name}.crl`);
    await writeFile(path, new Uint8Array(await answer.arrayBuffer()));
    const { certFile } = { signing: keys.signingRoot, tsa: keys.tsaRoot, 'tsa-second': keys.tsaSecond.root }[name];
    const args = ['crl', '-inform', 'DER', '-in', path, '-noout', '-text', '-CAfile', certFile];
    const { stdout, stderr } = await promisify(execFile)('openssl', args);
    expect(stderr).toContain('verify OK');
    expect(stdout).toContain('X509v3 CRL Number');
  }
  expect((await fetch(`${lists.url}other.crl`)).status).toBe(404);
});
