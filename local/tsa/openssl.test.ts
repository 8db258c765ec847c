import 'reflect-metadata';
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { writePem } from '../../domain/timestamp/pem.ts';
import { buildTimestampRequest } from '../../domain/timestamp/request.ts';
import { readTimestampResponse } from '../../domain/timestamp/token.ts';
import { verifyTimestampResponse } from '../../domain/timestamp/verify-token.ts';
import { answerQuery } from './answer-query.ts';
import type { TsaSignatureAlgorithm } from './build-token.ts';
import type { TsaFaultKind } from './faults.ts';
import { makeTestAuthority, type TestAuthority } from './test-authority.ts';

const run = promisify(execFile);
const POLICY = '1.3.6.1.4.1.99999.1.1';
let dir: string;
const file = (name: string): string => join(dir, name);
const imprint = new Uint8Array(createHash('sha256').update('a checkpoint').digest());
const nonce = new Uint8Array(randomBytes(8));
const query = buildTimestampRequest({ imprint, nonce, policy: POLICY });

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'proofline-tsa-'));
  await writeFile(file('query.tsq'), query);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** What `openssl ts -verify` says of a reply to our query; it exits 1 when it refuses. */
async function judge(tsa: TestAuthority, reply: Uint8Array): Promise<string> {
  await writeFile(file('reply.tsr'), reply);
  await writeFile(file('root.pem'), writePem('CERTIFICATE', tsa.root.der));
  const args = [
    'ts',
    '-verify',
    '-queryfile',
    file('query.tsq'),
    '-in',
    file('reply.tsr'),
    '-CAfile',
    file('root.pem'),
  ];
  return run('openssl', args).then(
    ({ stdout }) => stdout,
    (error: { stdout: string; stderr: string }) => `${error.stdout}${error.stderr}`,
  );
}

describe('openssl judging our authority', () => {
  it.each(['ES256', 'ES384', 'RS256'] as const)('accepts its %s tokens', async (algorithm) => {
    const tsa = await makeTestAuthority(algorithm);
    const reply = await answerQuery(tsa.authority, query, undefined, tsa.authority.random(16));
    expect(await judge(tsa, reply)).toContain('Verification: OK');
    await writeFile(file('reply.tsr'), reply);
    const { stdout } = await run('openssl', ['ts', '-reply', '-in', file('reply.tsr'), '-text']);
    expect(stdout).toContain('Status: Granted.');
    expect(stdout).toContain(`Policy OID: ${POLICY}`);
  });

  it('accepts its PS256 tokens as CMS, since openssl ts knows no PSS', async () => {
    const tsa = await makeTestAuthority('PS256');
    const reply = await answerQuery(tsa.authority, query, undefined, tsa.authority.random(16));
    await writeFile(file('token.der'), readTimestampResponse(reply).token ?? '');
    await writeFile(file('root.pem'), writePem('CERTIFICATE', tsa.root.der));
    const args = ['cms', '-verify', '-inform', 'DER', '-in', file('token.der'), '-CAfile', file('root.pem')];
    const { stderr } = await run('openssl', [...args, '-purpose', 'timestampsign', '-out', file('content.der')]);
    expect(stderr).toMatch(/CMS Verification successful/i);
  });

  it.each([
    'wrong-nonce',
    'wrong-imprint',
    'wrong-policy',
    'eku-missing',
    'eku-extra',
    'eku-not-critical',
    'untrusted-chain',
    'wrong-ess',
    'wrong-signature',
    'status-2',
    'no-certificates',
    'truncated',
  ] as const)('refuses %s, as we do', async (kind: TsaFaultKind) => {
    const tsa = await makeTestAuthority();
    const reply = await answerQuery(tsa.authority, query, { kind }, Uint8Array.of(9));
    expect(await judge(tsa, reply)).not.toContain('Verification: OK');
  });
});

describe('openssl as a second authority', () => {
  const config = (): string => `
[ tsa ]
default_tsa = tsa_config
[ tsa_config ]
serial = ${file('serial')}
crypto_device = builtin
signer_cert = ${file('tsa.pem')}
certs = ${file('chain.pem')}
signer_key = ${file('tsa.key')}
signer_digest = sha256
default_policy = ${POLICY}
digests = sha256, sha512
accuracy = secs:1, millisecs:500, microsecs:100
ordering = yes
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = ESS_ALG
`;

  async function openSslAuthority(algorithm: TsaSignatureAlgorithm, essAlgorithm: string): Promise<TestAuthority> {
    const tsa = await makeTestAuthority(algorithm);
    const key = Buffer.from(await crypto.subtle.exportKey('pkcs8', tsa.keys.privateKey)).toString('base64');
    await writeFile(
      file('tsa.key'),
      `-----BEGIN PRIVATE KEY-----\n${key.replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`,
    );
    await writeFile(file('tsa.pem'), writePem('CERTIFICATE', tsa.authority.certificate));
    await writeFile(file('chain.pem'), writePem('CERTIFICATE', tsa.issuer.der));
    await writeFile(file('serial'), '0A\n');
    await writeFile(file('tsa.cnf'), config().replace('ESS_ALG', essAlgorithm));
    return tsa;
  }

  it.each([
    ['ES256', 'sha256'],
    ['RS256', 'sha256'],
    ['RS256', 'sha1'],
    ['ES256', 'sha512'],
  ] as const)('gives %s tokens with %s ESSCertIDs that we accept', async (algorithm, essAlgorithm) => {
    const tsa = await openSslAuthority(algorithm, essAlgorithm);
    await run('openssl', [
      'ts',
      '-reply',
      '-config',
      file('tsa.cnf'),
      '-section',
      'tsa_config',
      '-queryfile',
      file('query.tsq'),
      '-out',
      file('theirs.tsr'),
    ]);
    const verdict = await verifyTimestampResponse(await readFile(file('theirs.tsr')), {
      imprint,
      nonce,
      policies: [POLICY],
      roots: [writePem('CERTIFICATE', tsa.root.der)],
      nowMs: Date.now(),
      isSerialUnused: async () => true,
    });
    expect(verdict.failures).toEqual([]);
    expect(verdict).toMatchObject({ ok: true, accuracyMicros: 1_500_100, tsaName: 'Proofline test TSA' });
  });

  it('answers a query of openssl from ours the same way', async () => {
    const tsa = await makeTestAuthority();
    await writeFile(file('data.txt'), 'a file');
    await run('openssl', ['ts', '-query', '-data', file('data.txt'), '-sha512', '-cert', '-out', file('query.tsq')]);
    const reply = await answerQuery(
      tsa.authority,
      await readFile(file('query.tsq')),
      undefined,
      tsa.authority.random(16),
    );
    expect(await judge(tsa, reply)).toContain('Verification: OK');
    await writeFile(file('query.tsq'), query);
  });
});
