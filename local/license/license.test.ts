import { execFile } from 'node:child_process';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { TenantId } from '../../domain/ids.ts';
import { parseGrantFile } from '../../domain/licence/grant.ts';
import { instanceFingerprint, parseIssuerKeys, verifyGrantSignature } from '../../domain/licence/issuers.ts';
import { parseRevocationList } from '../../domain/licence/revocation-list.ts';
import { issueLocalGrant } from './issue-local-grant.ts';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
const TENANT = '11111111-1111-4111-8111-111111111111' as TenantId;

let dir: string;
let key: string;
let jwks: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'license-'));
  key = join(dir, 'key.json');
  jwks = (await license('keygen', '--kid', 'issuer-1', '--out', key)).stdout;
});
afterAll(() => rm(dir, { recursive: true }));

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the tool in the test's folder, where no system has left a trust file. */
async function license(...args: string[]): Promise<Ended> {
  try {
    return { code: 0, ...(await promisify(execFile)(process.execPath, [MAIN, ...args], { cwd: dir })) };
  } catch (error) {
    return error as Ended;
  }
}

const ISSUE = ['issue', '--tenant', TENANT, '--quota', '500', '--instance', 'here'];

describe('npm run license', () => {
  it('issues a grant that verifies under the printed key set', async () => {
    const { stdout } = await license(
      ...ISSUE,
      ...['--kind', 'BASE', '--term', 'MONTHLY', '--count', '12', '--anchor', '2026-01-31', '--zone', 'Europe/Paris'],
      ...['--allocation', `${TENANT}=20`, '--entitlement', 'pdf', '--key', key],
    );
    const file = parseGrantFile(stdout.trim());
    await expect(verifyGrantSignature(file, parseIssuerKeys(jwks))).resolves.toBeUndefined();
    expect(file.grant).toMatchObject({
      kind: 'BASE',
      seq: 1,
      quota: 500,
      instanceFingerprint: instanceFingerprint('here'),
      term: { type: 'MONTHLY', count: 12, anchorDate: '2026-01-31', timeZone: 'Europe/Paris', rollover: 0 },
      allocations: [{ orgUnit: TENANT, limit: 20 }],
      entitlements: ['pdf'],
    });
    expect((await license('jwks', '--key', key)).stdout).toBe(jwks);
  });

  it.each([
    ['ADDENDUM', ['--addendum-of', 'g1', '--quota', '5'], { addendumOf: 'g1', quota: 5 }],
    [
      'TRANSFER',
      ['--addendum-of', 'g1', '--allocation', `${TENANT}=2`],
      { allocations: [{ orgUnit: TENANT, limit: 2 }] },
    ],
    ['REVOCATION', ['--revokes', 'g1'], { revokes: 'g1' }],
  ])('issues a grant of kind %s', async (kind, options, members) => {
    const chain = ['--seq', '2', '--previous', 'a'.repeat(64)];
    const common = ['issue', '--kind', kind, '--tenant', TENANT, '--instance', 'here', '--key', key];
    const { stdout } = await license(...common, ...chain, ...options);
    const file = parseGrantFile(stdout.trim());
    await expect(verifyGrantSignature(file, parseIssuerKeys(jwks))).resolves.toBeUndefined();
    expect(file.grant).toMatchObject({ kind, seq: 2, previousGrantHash: 'a'.repeat(64), ...members });
  });

  it('issues a revocation list, and shows what it says', async () => {
    const dates = ['--issued-at', '2026-01-01T00:00:00Z', '--next-update', '2026-02-01T00:00:00Z'];
    const revoked = ['--revoke', 'g1', '--revoke', 'g2=2025-12-31T00:00:00Z'];
    const { stdout } = await license(
      'issue-list',
      '--number',
      '7',
      '--instance',
      'here',
      ...dates,
      ...revoked,
      '--key',
      key,
    );
    const list = parseRevocationList(stdout.trim());
    await expect(verifyGrantSignature(list, parseIssuerKeys(jwks))).resolves.toBeUndefined();
    const at = join(dir, 'list.jws');
    await writeFile(at, `\n> proofline@0.1.0 license\n> node main.ts\n\n${stdout}`);
    expect(JSON.parse((await license('show', at)).stdout)).toMatchObject({
      hash: list.hash,
      number: 7,
      nextUpdate: '2026-02-01T00:00:00Z',
      revoked: [
        { grantId: 'g1', from: '2026-01-01T00:00:00Z' },
        { grantId: 'g2', from: '2025-12-31T00:00:00Z' },
      ],
    });
  });

  it('takes the instance of the system that runs here', async () => {
    const at = join(dir, '.proofline');
    await promisify(execFile)('mkdir', [at]);
    await writeFile(join(at, 'trust.json'), JSON.stringify({ instance: 'running' }));
    const { stdout } = await license('issue', '--tenant', TENANT, '--quota', '5', '--key', key);
    await rm(at, { recursive: true });
    expect(parseGrantFile(stdout.trim()).grant.instanceFingerprint).toBe(instanceFingerprint('running'));
    expect((await license('fingerprint', '--instance', 'running')).stdout.trim()).toBe(instanceFingerprint('running'));
  });

  it.each<[string, string[]]>([
    ['"--tenant" is missing', ['issue', '--quota', '5', '--instance', 'here']],
    ['"--quota" takes a whole number', [...ISSUE, '--quota', '5x']],
    ['"--count" is missing', [...ISSUE, '--term', 'ANNUAL']],
    ['"--term" takes one of MONTHLY', [...ISSUE, '--term', 'DAILY']],
    ['"--key" is missing', ISSUE],
    ['"--instance" or "--fingerprint" is missing', ['issue', '--tenant', TENANT, '--quota', '5']],
    ['an IANA time zone is expected', [...ISSUE, '--zone', 'Mars/Olympus', '--key', 'KEY']],
    ['the member is missing', [...ISSUE, '--seq', '2', '--key', 'KEY']],
    ["Unknown option '--frobnicate'", [...ISSUE, '--frobnicate']],
    ['"--number" is missing', ['issue-list', '--instance', 'here', '--key', 'KEY']],
    [
      'each grant once',
      ['issue-list', '--number', '1', '--instance', 'here', '--revoke', 'g', '--revoke', 'g', '--key', 'KEY'],
    ],
    ['a command is expected', ['frobnicate']],
  ])('says %s, with exit code 2 and an empty output', async (message, args) => {
    const ended = await license(...args.map((arg) => (arg === 'KEY' ? key : arg)));
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toContain(message);
  });

  it('keeps its keys to the owner and never overwrites one', async () => {
    expect((await stat(key)).mode & 0o777).toBe(0o600);
    expect(await license('keygen', '--kid', 'issuer-2', '--out', key)).toMatchObject({ code: 2 });
  });

  it('is the same for a local system from code', async () => {
    const jws = await issueLocalGrant({
      keyFile: key,
      instance: 'here',
      tenant: TENANT,
      grantId: 'local-2',
      quota: 7,
      term: { type: 'PERPETUAL', anchorDate: '2026-01-01', timeZone: 'UTC' },
      notBefore: '2026-01-01T00:00:00Z',
      previous: { seq: 1, hash: 'a'.repeat(64) },
    });
    const file = parseGrantFile(jws);
    await expect(verifyGrantSignature(file, parseIssuerKeys(jwks))).resolves.toBeUndefined();
    expect(file.grant).toMatchObject({ grantId: 'local-2', seq: 2, previousGrantHash: 'a'.repeat(64), quota: 7 });
  });
});
