import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { canonicalText } from '../domain/canonical-json.ts';
import type { BatchId, ProofId } from '../domain/ids.ts';
import { certify } from '../local/evidence/instance.ts';
import { p256 } from '../local/evidence/keys.ts';
import { dropDatabase, ensureDatabase } from '../local/postgres/roles.ts';
import { readEvidence } from '../store/bundles.read.ts';
import { readDrafts } from '../store/certificates.ts';
import { createPool, type Db } from '../store/pool.ts';
import { testServers } from '../test/support/servers.ts';
import { readMigrations } from './migrations.ts';

const { migrationDirectories: migrations } = readMigrations();
const here = migrations.findIndex(({ path }) => path.endsWith('_certificate_templates'));
const name = `test_${randomUUID().replaceAll('-', '')}`;
const urlOf = (user: string, database: string): string => {
  const { port, passwords } = testServers().postgres;
  return `postgresql://${user}:${passwords[user]}@127.0.0.1:${port}/${database}`;
};
const open = (user: string): Db =>
  createPool({ url: urlOf(user, name), max: 1, applicationName: 'test', onError: () => {} });
let [owner, superuser]: Db[] = [];

function pool(of: Db | undefined): Db {
  if (of === undefined) throw new Error('no database yet');
  return of;
}
async function apply(from: number, to?: number): Promise<void> {
  for (const { migrationFile } of migrations.slice(from, to)) {
    if (migrationFile.content.tag !== 'ok') throw new Error(`${migrationFile.path} cannot be read`);
    await pool(owner).query(migrationFile.content.value);
  }
}

const [batch, tenant] = [randomUUID() as string as BatchId, randomUUID()];
const payloadOf = (proof: string) => ({ type: 'proofline/certificate/v1', proof, tsa: '100 %, 1$s "é" \u2028 %1$s' });

/** A sealed proof in the tree with its certificate as it was kept before, signed or not; by plain SQL without keys or triggers. */
async function seedOld(index: number, jws: (payload: Record<string, unknown>) => string | null) {
  const proof = randomUUID() as string as ProofId;
  const payload = payloadOf(proof);
  const db = pool(superuser);
  await db.query("SET session_replication_role = 'replica'");
  await db.query(
    `INSERT INTO proofs (id, tenant_id, org_unit_id, submission_id, ordinal, digest_alg, digest, anchor_policy, received_at)
     VALUES ($1, $2, $2, $1, 0, 'sha-256', sha256('x'), 'NONE', now())`,
    [proof, tenant],
  );
  await db.query(
    "INSERT INTO seals (proof_id, tenant_id, batch_id, ordinal, kid, version, statement, signature) VALUES ($1, $2, $3, $4, 'seal', 1, '{}', '')",
    [proof, tenant, batch, index],
  );
  await db.query(
    "INSERT INTO leaves (index, leaf, proof_id, batch_id, tenant_id) VALUES ($1::int, sha256('leaf'), $2, $3, $4)",
    [index, proof, batch, tenant],
  );
  const stored = { proof, payload: canonicalText(payload), jws: jws(payload) };
  await db.query(
    `INSERT INTO certificates (proof_id, tenant_id, batch_id, number, final_state, payload, timestamp_size, jws, drafted_at)
     VALUES ($1, $2, $3, $4, 'CERTIFIED_NO_ANCHOR', $5, 1, $6, now())`,
    [proof, tenant, batch, `PL-${proof}`, stored.payload, stored.jws],
  );
  return stored;
}

beforeAll(async () => {
  await ensureDatabase(urlOf('postgres', 'postgres'), name);
  [owner, superuser] = [open('proofline_owner'), open('postgres')];
  await apply(0, here);
});
afterAll(async () => {
  await Promise.all([owner?.end(), superuser?.end()]);
  await dropDatabase(urlOf('postgres', 'postgres'), name);
});

describe('certificates of before there were templates', () => {
  it('are not given up where what is kept would not give them back', async () => {
    const { proof } = await seedOld(0, () => 'e30.e30.AAAA');
    await expect(apply(here, here + 1)).rejects.toThrow(`certificates that would change: ${proof}`);
    await pool(superuser).query('DELETE FROM certificates; DELETE FROM leaves');
  });

  it('are answered as the same JWS, and their drafts are signed as they were drafted', async () => {
    const signed = [
      await seedOld(1, (payload) => certify(p256('certificate', 1, 'one'), payload)),
      await seedOld(2, (payload) => certify(p256('a.b:c/d-e_2', 4_294, 'two'), payload)),
    ];
    const draft = await seedOld(3, () => null);
    await apply(here);
    for (const { proof, jws } of signed)
      expect((await readEvidence(pool(owner), 'test/log', proof, 'public'))?.bundle?.certificate).toBe(jws);
    const evidence = await readEvidence(pool(owner), 'test/log', draft.proof, 'public');
    expect(evidence?.bundle).toMatchObject({ pending: expect.arrayContaining(['certificate']) });
    expect(evidence?.bundle).not.toHaveProperty('certificate');
    expect(await readDrafts(pool(owner), batch)).toEqual([{ proofId: draft.proof, payload: draft.payload }]);
  });
});
