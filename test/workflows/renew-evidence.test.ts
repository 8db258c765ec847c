import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createEvidenceRenewal, type EvidenceRenewalDeps } from '../../activities/timestamping/renew-evidence.ts';
import type { Stamped } from '../../activities/timestamping/tsa-pool.ts';
import type { Bundle } from '../../domain/bundle.ts';
import { fromBase64Url } from '../../domain/bytes.ts';
import { canonicalBytes, canonicalText } from '../../domain/canonical-json.ts';
import { type Clock, toMicros } from '../../domain/clock.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { buildHashTree } from '../../domain/evidence-record/hash-tree.ts';
import { readEvidenceRecord } from '../../domain/evidence-record/record.ts';
import { verifyEvidenceRecord } from '../../domain/evidence-record/verify-record.ts';
import type { TrustDocument } from '../../domain/trust.ts';
import { type EvidenceAuthority, makeAuthority } from '../../local/evidence/authority.ts';
import {
  checkpointOf,
  createInstance,
  digestOf,
  type Instance,
  type LogState,
  type Sealed,
  sealProof,
  TENANT,
} from '../../local/evidence/instance.ts';
import { parseCheckpointBody } from '../../log/checkpoint.ts';
import { parseNote } from '../../log/note.ts';
import { storeArchiveToken } from '../../store/archive.ts';
import { formatCheckpointRecord, readEvidence, readStatementRecord } from '../../store/bundles.read.ts';
import { requestEvidenceRenewal } from '../../store/evidence-renewals.ts';
import { type Db, inTransaction } from '../../store/pool.ts';
import { verifyBundle } from '../../verifier/verify.ts';
import { searchAttributes } from '../../workflows/messages.ts';
import type { RenewEvidenceResult } from '../../workflows/renew-evidence.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { keepHistory } from '../support/keep-history.ts';
import { createWorkflowTest, type WorkflowTest } from '../support/workflow-run.ts';

const PROOFS = 6;
const bytes = (text: string): Buffer => Buffer.from(fromBase64Url(text) ?? new Uint8Array(0));

let temporal: WorkflowTest;
let database: TestDatabase;
let db: Db;
let instance: Instance;
/** The second of them lasts longer. */
let authorities: EvidenceAuthority[];
let trust: TrustDocument;
let proofs: Sealed[];
let checkpoints: LogState[];
let nowMs: number;
const clock: Clock = { nowMs: () => nowMs, nowMicros: () => toMicros(BigInt(nowMs) * 1000n) };
let stamps: { readonly tsa: string; readonly at: string }[];
let outages: number;
/** One that repeating cannot mend ends the fast phase at once. */
let outageCode: 'TSA_UNAVAILABLE' | 'CONFIG_INVALID';

beforeAll(async () => {
  [temporal, database, instance] = await Promise.all([
    createWorkflowTest(),
    createTestDatabase(),
    createInstance('alpha'),
  ]);
  db = database.pool('proofline_worker');
  authorities = [instance.authority, await makeAuthority('second timestamps', '2030-01-01T00:00:00Z')];
  const second = authorities[1] as EvidenceAuthority;
  trust = {
    ...instance.trust,
    roots: { ...instance.trust.roots, tsa: [...instance.trust.roots.tsa, second.rootPem] },
    tsas: [...instance.trust.tsas, ...instance.trust.tsas.map((tsa) => ({ ...tsa, name: second.name }))],
  };
  proofs = Array.from({ length: PROOFS }, (_, n) => sealProof(instance, n, digestOf(`file ${n}`)));
  checkpoints = [];
  for (let size = 1; size <= PROOFS; size++)
    checkpoints.push(
      await checkpointOf(
        instance,
        proofs.slice(0, size).map(({ leaf }) => leaf),
      ),
    );
});
afterAll(async () => {
  await temporal.close();
  await database.drop();
});

/** Each proof under a checkpoint of its own, with a token of its own from the authority that ends first. */
beforeEach(async () => {
  stamps = [];
  outages = 0;
  outageCode = 'TSA_UNAVAILABLE';
  await database
    .pool('proofline_owner')
    .query(
      'TRUNCATE tenants, batches, seals, leaves, checkpoints, timestamps, archive_tokens, archive_members, evidence_renewals, outbox, published_keys CASCADE',
    );
  await seed();
});

async function seed(): Promise<void> {
  const [unit, submission, batch] = [randomUUID(), randomUUID(), randomUUID()];
  await db.query("INSERT INTO tenants (id, name, created_at) VALUES ($1, 'Owner', now())", [TENANT]);
  await db.query(
    "INSERT INTO org_units (id, tenant_id, path, name, created_at) VALUES ($1, $2, ARRAY[$1::uuid], 'Root', now())",
    [unit, TENANT],
  );
  await db.query(
    "INSERT INTO batches (id, anchor_policy, anchor_window, proof_count, formed_at) VALUES ($1, 'NONE', 'express', $2, now())",
    [batch, PROOFS],
  );
  await db.query(
    `INSERT INTO submissions (id, tenant_id, org_unit_id, api_key_id, anchor_policy, anchor_window, proof_count, received_at, body_hash, batch_id)
     VALUES ($1, $2, $3, $4, 'NONE', 'express', $5, now(), sha256(''), $6)`,
    [submission, TENANT, unit, randomUUID(), PROOFS, batch],
  );
  for (const [n, { statement, seal, leaf }] of proofs.entries()) {
    const { proof, digest, receivedAt, key } = statement;
    await db.query(
      `INSERT INTO proofs (id, tenant_id, org_unit_id, submission_id, ordinal, digest_alg, digest, anchor_policy, received_at, state)
       VALUES ($1, $2, $3, $4, $5, 'sha-256', $6, 'NONE', $7, 'TIMESTAMPED')`,
      [proof, TENANT, unit, submission, n, Buffer.from(digest.value, 'hex'), receivedAt],
    );
    await db.query(
      'INSERT INTO seals (proof_id, tenant_id, batch_id, ordinal, kid, version, statement, signature, sealed_at) VALUES ($1, $2, $3, $4, $5, 1, $6, $7, now())',
      [proof, TENANT, batch, n, key.kid, canonicalText(statement), bytes(seal.split('..')[1] ?? '')],
    );
    await db.query('INSERT INTO leaves (index, leaf, proof_id, batch_id, tenant_id) VALUES ($1, $2, $3, $4, $5)', [
      n,
      Buffer.from(leaf),
      proof,
      batch,
      TENANT,
    ]);
  }
  nowMs = Date.parse('2026-11-23T08:00:00Z');
  for (const { note, body } of checkpoints) {
    nowMs += 1_000;
    const { size, root } = parseCheckpointBody(parseNote(note).text);
    await db.query('INSERT INTO checkpoints (origin, size, root, note, published_at) VALUES ($1, $2, $3, $4, now())', [
      instance.origin,
      size.toString(),
      Buffer.from(root),
      note,
    ]);
    const { token, tsa, crls = [] } = await instance.authority.stamp(sha256(body), clock.nowMicros());
    await db.query(
      `INSERT INTO timestamps (origin, size, tsa, token, token_sha256, gen_time, serial, policy, crls, self_operated, accepted_at, ends_at)
       VALUES ($1, $2, $3, $4, sha256($4), $5, $6, '1.2.3', $7, false, $5, '2027-01-01T00:00:00Z')`,
      [instance.origin, size.toString(), tsa, bytes(token), clock.nowMicros(), `${size}`, crls.map(bytes)],
    );
  }
}

const sha256 = (data: string | Uint8Array): Uint8Array => new Uint8Array(createHash('sha256').update(data).digest());

/** Asks the longer-lived authority first, at the time that the clock says, unless there is an outage. */
const pool: EvidenceRenewalDeps['pool'] = {
  async stamp(imprint, _signal, { except = [] } = {}): Promise<Stamped> {
    if (outages-- > 0) throw new ProoflineError(outageCode, 'second timestamps: no reply within 500 ms');
    const authority = [...authorities].reverse().find(({ name }) => !except.includes(name)) as EvidenceAuthority;
    const at = clock.nowMicros();
    const { token, crls = [] } = await authority.stamp(imprint, at);
    stamps.push({ tsa: authority.name, at });
    return {
      tsa: authority.name,
      selfOperated: false,
      token: new Uint8Array(bytes(token)),
      genTime: at,
      serial: randomBytes(8).toString('hex'),
      policy: '1.2.3',
      endsAt: authority === authorities[1] ? '2030-01-01T00:00:00Z' : '2027-01-01T00:00:00Z',
      revocation: 'good',
      crls: crls.map((crl) => new Uint8Array(bytes(crl))),
    };
  },
};

async function renew(
  input: { readonly request?: string } = {},
  chunk = 2_000,
  keepAs?: string,
): Promise<RenewEvidenceResult> {
  const activities = createEvidenceRenewal({ db, pool, clock, origin: instance.origin, chunk });
  return temporal.run(activities, async () => {
    const handle = await temporal.client.workflow.start('renewEvidence', {
      workflowId: `renew-${randomUUID()}`,
      taskQueue: temporal.workflowQueue,
      args: [input],
    });
    const result = (await handle.result()) as RenewEvidenceResult;
    if (keepAs !== undefined) await keepHistory('renewEvidence', keepAs, await handle.fetchHistory());
    return result;
  });
}

/** The request's row as its run was started with it. */
async function request(reason: 'KEY_COMPROMISED' | 'TSA_WEAK' | 'HASH_WEAK', subject: string): Promise<string> {
  for (let i = 0; i < 2; i++)
    await inTransaction(db, (tx) => requestEvidenceRenewal(tx, { reason, subject }, clock.nowMicros()));
  const { rows } = await db.query('SELECT name, payload FROM outbox');
  // Asked for twice, it is one.
  expect(rows).toEqual([{ name: 'renewEvidence', payload: { request: expect.stringMatching(/^\d+$/) } }]);
  return rows[0].payload.request;
}

async function bundleOf(n: number): Promise<Bundle> {
  const evidence = await readEvidence(
    database.pool('proofline_api'),
    instance.origin,
    proofs[n]?.statement.proof as never,
    'public',
  );
  if (evidence?.bundle === undefined) throw new Error('no bundle');
  return { ...evidence.bundle, keys: instance.trust.jwks.keys };
}

async function timestampClaim(bundle: Bundle, now: string): Promise<string> {
  const { claims } = await verifyBundle(bundle, { trust, nowMs: Date.parse(now) });
  return `${claims.timestamp.verdict} ${claims.timestamp.reason}`;
}

const later = (at: string): void => {
  nowMs = Date.parse(at);
};

describe('renewEvidence', () => {
  it('renews nothing while every certificate lasts for more than a month', async () => {
    later('2026-11-30T00:00:00Z');
    expect(await renew()).toEqual({ renewed: 0 });
    expect(stamps).toEqual([]);
  });

  it('protects all old tokens by one new one, so that bundles outlive the certificate', async () => {
    const unprotected = await bundleOf(2);
    later('2026-12-15T00:00:00Z');
    expect(await renew()).toEqual({ renewed: PROOFS });
    expect(stamps).toHaveLength(1);
    for (let n = 0; n < PROOFS; n++) {
      const bundle = await bundleOf(n);
      expect(await timestampClaim(bundle, '2026-12-16T00:00:00Z')).toBe('valid token-good');
      expect(await timestampClaim(bundle, '2027-06-01T00:00:00Z')).toBe('expired-but-protected token-expired-renewed');
    }
    expect(await timestampClaim(unprotected, '2027-06-01T00:00:00Z')).toBe('unverified token-expired');
    expect(await renew()).toEqual({ renewed: 0 });
    expect(JSON.stringify(await bundleOf(0)).length).toBeLessThan(10_000);
  });

  it('does not let a renewal be moved to another token', async () => {
    later('2026-12-15T00:00:00Z');
    await renew();
    const [one, two] = [await bundleOf(1), await bundleOf(2)];
    const moved = { ...one, timestamps: one.timestamps.map((t) => ({ ...t, renewals: two.timestamps[0]?.renewals })) };
    expect(await timestampClaim(moved as Bundle, '2027-06-01T00:00:00Z')).toBe('invalid token-bad');
  });

  it('renews the one new token, not all the old ones again, when its end comes', async () => {
    later('2026-12-15T00:00:00Z');
    await renew();
    later('2029-12-15T00:00:00Z');
    authorities.push(await makeAuthority('third timestamps', '2035-01-01T00:00:00Z'));
    const third = authorities[2] as EvidenceAuthority;
    try {
      expect(await renew()).toEqual({ renewed: 1 });
      trust = {
        ...trust,
        roots: { ...trust.roots, tsa: [...trust.roots.tsa, third.rootPem] },
        tsas: [...trust.tsas, ...trust.tsas.slice(0, 1).map((tsa) => ({ ...tsa, name: third.name }))],
      };
      const bundle = await bundleOf(4);
      expect(bundle.timestamps[0]?.renewals?.map(({ tsa }) => tsa)).toEqual(['second timestamps', 'third timestamps']);
      expect(await timestampClaim(bundle, '2033-06-01T00:00:00Z')).toBe('expired-but-protected token-expired-renewed');
    } finally {
      authorities.pop();
    }
  });

  it('goes on in chunks, and repeats none that is done', async () => {
    later('2026-12-15T00:00:00Z');
    expect(await renew({}, 4, 'in-chunks')).toEqual({ renewed: PROOFS });
    expect(stamps).toHaveLength(2);
    const { rows } = await db.query('SELECT count(*)::int AS members FROM archive_members');
    expect(rows[0].members).toBe(PROOFS);
  });

  it('waits through an outage, and nothing is lost', async () => {
    later('2026-12-15T00:00:00Z');
    outages = 3;
    expect(await renew()).toEqual({ renewed: PROOFS });
  });

  it('on a compromised key puts a further token over all that was there, and closes the request', async () => {
    later('2026-11-24T00:00:00Z');
    const id = await request('KEY_COMPROMISED', 'seal@1');
    later('2026-11-24T00:00:05Z');
    expect(await renew({ request: id })).toEqual({ renewed: PROOFS });
    expect(stamps).toHaveLength(1);
    const { rows } = await db.query('SELECT renewed, completed_at IS NOT NULL AS done FROM evidence_renewals');
    expect(rows).toEqual([{ renewed: PROOFS, done: true }]);
    // A repeated run finds it done.
    expect(await renew({ request: id })).toEqual({ renewed: 0 });
  });

  it('on a weak authority has others stamp its tokens', async () => {
    later('2026-11-24T00:00:00Z');
    const id = await request('TSA_WEAK', 'second timestamps');
    later('2026-11-24T00:00:05Z');
    expect(await renew({ request: id })).toEqual({ renewed: 0 });
    await db.query('DELETE FROM outbox');
    const other = await request('TSA_WEAK', 'alpha timestamps');
    later('2026-11-24T00:00:10Z');
    expect(await renew({ request: other })).toEqual({ renewed: PROOFS });
    expect(stamps.map(({ tsa }) => tsa)).toEqual(['second timestamps']);
  });

  it('on a weak hash function covers data and evidence under a stronger one, checkpoints and statements', async () => {
    const leaves = proofs.map(({ leaf }) => leaf);
    const tree = buildHashTree(leaves, 'SHA-256');
    const stamped = await pool.stamp(tree.root);
    const direct = { ...stamped, kind: 'direct', hash: 'SHA-256', acceptedAt: clock.nowMicros() } as const;
    const members = leaves.map((leaf) => ({ member: leaf, path: tree.pathOf(leaf) ?? [] }));
    await inTransaction(db, (tx) => storeArchiveToken(tx, direct, members, []));
    later('2026-12-15T00:00:00Z');
    await renew();
    later('2026-12-16T00:00:00Z');
    const id = await request('HASH_WEAK', 'SHA-256');
    expect(await renew({ request: id }, 4, 'requested')).toEqual({ renewed: 2 * PROOFS });
    // What still comes under the old function is left out, since nothing covers it.
    later('2029-12-15T00:00:00Z');
    await renew();

    const bundle = await bundleOf(3);
    expect(bundle.timestamps[0]?.renewals?.map(({ hash }) => hash)).toEqual([undefined, 'sha-512', undefined]);
    expect(await timestampClaim(bundle, '2029-12-16T00:00:00Z')).toBe('expired-but-protected token-expired-renewed');
    const crls = authorities.map(({ crl }) => new Uint8Array(bytes(crl)));
    const judged = { roots: trust.roots.tsa, crls, nowMicros: BigInt(nowMs) * 1000n };
    const record = formatCheckpointRecord(bundle) ?? new Uint8Array(0);
    expect(readEvidenceRecord(record).chains.map((chain) => chain.length)).toEqual([2, 2]);
    const { text } = parseNote(bundle.checkpoint ?? '');
    expect(await verifyEvidenceRecord(record, { ...judged, data: Buffer.from(text) })).toMatchObject({
      verdict: 'valid',
      timestamps: 4,
      revocation: 'good',
    });
    const own = (await readStatementRecord(database.pool('proofline_api'), bundle)) ?? new Uint8Array(0);
    expect(readEvidenceRecord(own).chains.map((chain) => chain[0]?.hash)).toEqual(['SHA-256', 'SHA-512']);
    const { seal, statement } = bundle;
    const data = canonicalBytes({ seal, statement });
    expect(await verifyEvidenceRecord(own, { ...judged, data })).toMatchObject({ verdict: 'valid' });
  });

  it('shows that it waits when authorities stay out, and goes on when it is told', async () => {
    later('2026-12-15T00:00:00Z');
    outages = 1;
    outageCode = 'CONFIG_INVALID';
    await temporal.run(createEvidenceRenewal({ db, pool, clock, origin: instance.origin }), async () => {
      const handle = await temporal.client.workflow.start('renewEvidence', {
        workflowId: `renew-${randomUUID()}`,
        taskQueue: temporal.workflowQueue,
        args: [{}],
      });
      const deadline = Date.now() + 20_000;
      const waits = async () => (await handle.describe()).typedSearchAttributes.get(searchAttributes.waitReason);
      while ((await waits()) !== 'TSA') if (Date.now() > deadline) throw new Error('it does not show that it waits');
      await handle.signal('retryNow');
      expect(await handle.result()).toEqual({ renewed: PROOFS });
      await keepHistory('renewEvidence', 'waited', await handle.fetchHistory());
    });
  });
});
