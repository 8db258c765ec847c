import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { type BatchId, workflowIds } from '../../domain/ids.ts';
import { localKeyPaths } from '../../local/keys/ensure-local-keys.ts';
import { keystoreDir, readPassphrase } from '../../local/signer/ensure-signer-keys.ts';
import { readVersions, storeVersion } from '../../local/signer/keystore.ts';
import { generateKey, publicPartOf } from '../../local/signer/software-key.ts';
import { type Stack, startStack } from '../../local/stack/start-stack.ts';
import { createPool, type Db } from '../../store/pool.ts';
import { verifyBundle } from '../../verifier/verify.ts';
import { createTestClient, type TestClient } from './client.ts';

const KEYS_MAIN = fileURLToPath(new URL('../../local/signer/keys-main.ts', import.meta.url));
const run = promisify(execFile);

let dataDir: string;
let stack: Stack;
let client: TestClient;
let owner: Db;
let connection: Connection;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'proofline-e2e-'));
  stack = await startStack({
    dataDir,
    ports: 'any',
    logLevel: 'warn',
    consensusDelayMs: 30,
    settings: { workers: { PROOFLINE_ANCHOR_WINDOW_EXPRESS_MS: '200', PROOFLINE_TIMESTAMP_WINDOW_MS: '100' } },
  });
  client = createTestClient(stack);
  owner = createPool({ url: stack.info.postgresUrl, max: 2, applicationName: 'e2e', onError: () => undefined });
  connection = Connection.lazy({ address: stack.info.temporalAddress });
  await owner.query('UPDATE tenants SET may_weaken_anchor_policy = true');
}, 120_000);

afterAll(async () => {
  await connection?.close();
  await owner?.end();
  await stack?.stop();
  await rm(dataDir, { recursive: true, force: true });
}, 60_000);

/** `npm run keys -- …` against the running system. */
const keys = async (...args: string[]): Promise<string> =>
  (await run(process.execPath, [KEYS_MAIN, ...args], { env: { PATH: process.env.PATH, PROOFLINE_DATA_DIR: dataDir } }))
    .stdout;

async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const seen = await look();
    if (seen !== undefined) return seen;
    if (Date.now() > deadline) throw new Error(`not within 30 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Proofs of a submission by the version of their seal. */
const sealsBy = async (submissions: readonly string[]) =>
  new Map(
    (
      await owner.query<{ version: number; id: string; count: number }>(
        `SELECT s.version, min(p.id::text) AS id, count(*)::int AS count FROM seals s JOIN proofs p ON p.id = s.proof_id
         WHERE p.submission_id = ANY ($1::uuid[]) AND s.signature IS NOT NULL GROUP BY s.version ORDER BY s.version`,
        [submissions],
      )
    ).rows.map((row) => [row.version, row]),
  );

const verdictOf = async (proof: string) => {
  const { claims, overall } = await verifyBundle((await client.bundle(proof)).text, {
    trust: await client.trust(),
    nowMs: Date.now(),
  });
  return [claims.seal.verdict, claims.key.verdict, claims.key.reason, overall];
};
const publishedSeal = async (version: number) =>
  (await client.trust()).jwks.keys.find((key) => key.kid === 'seal' && key.version === version);

describe('the seal key', () => {
  let oldProof: string;

  it('is rotated twice during a running bulk without one failed seal, and retired versions stay published', async () => {
    const submissions = await Promise.all([1, 2, 3].map(() => client.submitMany(2_500, '?anchorPolicy=NONE')));
    const ids = submissions.map(({ id }) => id);
    await until('the first seal', async () => ((await sealsBy(ids)).size > 0 ? true : undefined));
    expect(await keys('rotate', 'seal', '--announce', '0s', '--overlap', '1s')).toContain('seal@2 *');
    // What was frozen under a version whose overlap is over is sealed under the next one.
    expect(await keys('rotate', 'seal', '--announce', '0s')).toContain('seal@3 *');
    const more = await client.submitMany(1_000, '?anchorPolicy=NONE');
    for (const id of [...ids, more.id]) {
      const { states } = await client.untilFinal(id);
      expect(Object.keys(states)).toEqual(['CERTIFIED_NO_ANCHOR']);
    }
    const sealed = await sealsBy([...ids, more.id]);
    expect([...sealed.values()].reduce((sum, { count }) => sum + count, 0)).toBe(8_500);
    expect(sealed.size).toBeGreaterThan(1);
    oldProof = sealed.get(1)?.id ?? '';
    const retired = await until('seal@1 is published as retired', async () => {
      const key = await publishedSeal(1);
      return key?.state === 'verify-only' ? key : undefined;
    });
    expect(retired.validTo).toBeDefined();
    // Announced for no time at all, the newest may sign before it is published.
    for (const version of sealed.keys()) await until(`seal@${version} is published`, () => publishedSeal(version));
    for (const { id } of sealed.values()) expect(await verdictOf(id)).toEqual(['valid', 'valid', 'key-good', 'valid']);
  }, 120_000);

  it('keeps the seals that a token shows to be older than its compromise, and no others', async () => {
    const published = (compromisedAt: string) =>
      until(`seal@1 compromised at ${compromisedAt}`, async () => {
        const key = await publishedSeal(1);
        const isSo = key?.state === 'compromised' && key.compromisedAt?.startsWith(compromisedAt);
        return isSo ? true : undefined;
      });
    const now = new Date().toISOString().slice(0, 19);
    await keys('mark-compromised', 'seal@1', '--at', `${now}Z`);
    await published(now);
    expect(await verdictOf(oldProof)).toEqual(['valid', 'valid', 'key-compromised-later', 'valid']);
    const { rows } = await owner.query('SELECT reason, subject FROM evidence_renewals');
    expect(rows).toEqual([{ reason: 'KEY_COMPROMISED', subject: 'seal@1' }]);
    await keys('mark-compromised', 'seal@1', '--at', '2026-01-01T00:00:00Z');
    await published('2026-01-01T00:00:00');
    expect(await verdictOf(oldProof)).toEqual(['valid', 'invalid', 'key-compromised', 'invalid']);
  }, 60_000);

  it('swapped at the signer makes seals wait, visibly, until the right one is back; nothing is lost', async () => {
    const part = stack.parts.get('signer');
    if (part === undefined) throw new Error('no signer');
    const paths = localKeyPaths(join(dataDir, 'keys'));
    const store = keystoreDir(paths);
    const meta = (await readVersions(store, 'seal')).at(-1);
    if (meta === undefined) throw new Error('no seal key');
    const file = join(store, 'seal', `${meta.version}.json`);
    await copyFile(file, join(dataDir, 'the-right-key.json'));
    await part.stop();
    const other = await generateKey('ES256');
    const { spki, jwk } = publicPartOf(other) ?? {};
    if (spki === undefined || jwk === undefined) throw new Error('no public half');
    const swapped = { ...meta, jwk, spki: Buffer.from(spki).toString('base64'), chain: [] };
    await storeVersion(store, await readPassphrase(paths), swapped, other);
    await part.start();
    const proof = await client.submitOne({ anchorPolicy: 'NONE' });
    const temporal = new Client({ connection });
    const failure = await until('the wait is visible', async () => {
      const { rows } = await owner.query<{ id: string }>(
        'SELECT b.id FROM proofs p JOIN submissions s ON s.id = p.submission_id JOIN batches b ON b.id = s.batch_id WHERE p.id = $1',
        [proof.id],
      );
      if (rows[0] === undefined) return undefined;
      const batch = await temporal.workflow
        .getHandle(workflowIds.certifyBatch(rows[0].id as BatchId))
        .describe()
        .catch(() => undefined);
      return batch?.raw.pendingActivities?.[0]?.lastFailure?.applicationFailureInfo?.type ?? undefined;
    });
    expect(failure).toBe('SIGNER_BAD_SIGNATURE');
    expect((await client.untilState(proof.id, ['RECEIVED'])).failure).toBeUndefined();
    await part.stop();
    await copyFile(join(dataDir, 'the-right-key.json'), file);
    await part.start();
    await client.untilState(proof.id, ['CERTIFIED_NO_ANCHOR']);
    expect(await verdictOf(proof.id)).toEqual(['valid', 'valid', 'key-good', 'valid']);
  }, 90_000);
});
