import { createHash, randomBytes, randomUUID } from 'node:crypto';
import type { CommandVerb } from '../../domain/commands.ts';
import type { BatchId, CommandId, ProofId, TenantId } from '../../domain/ids.ts';
import { LANES } from '../../domain/lane.ts';
import type { ProofState } from '../../domain/states.ts';
import { armBatch, closeIfDone, markSealed } from '../../store/batches.ts';
import { queueForLicence, readDrafts, storeCertificates } from '../../store/certificates.ts';
import { type CommandFilter, readCommands, requestCommands } from '../../store/command-requests.ts';
import { applyPending } from '../../store/commands.ts';
import { drainLicences } from '../../store/drain-licences.ts';
import { advanceEvidence } from '../../store/evidence.ts';
import { expandFilters } from '../../store/expand-commands.ts';
import { formBatch } from '../../store/form-batch.ts';
import { ensureLog, integrateLeaves, storeCheckpointNote } from '../../store/log.ts';
import { inTransaction } from '../../store/pool.ts';
import {
  type FrozenUpTo,
  failProofs,
  freezeStatements,
  readUnsealed,
  SEAL_CHUNK,
  storeSeals,
} from '../../store/seals.ts';
import type { TestDatabase } from './database.ts';

export const LIFE_ORIGIN = 'log.example/life';

/** The steps of a batch's life by the store's own functions, one at a time, with signatures that nobody verifies. */
export type BatchLife = ReturnType<typeof createBatchLife>;

export function createBatchLife(test: TestDatabase) {
  const db = test.pool('proofline_worker');
  const owner = test.pool('proofline_owner');
  const api = test.pool('proofline_api');
  const origin = LIFE_ORIGIN;
  let tick = 0;
  /** Strictly increasing, so that every transaction has an instant of its own. */
  const now = (): string => `2026-01-31T09:00:00.${String(++tick).padStart(6, '0')}Z`;
  const clock = { nowMs: () => Date.parse('2026-01-31T09:00:00Z'), nowMicros: now };

  const life = {
    now,
    /** Empties the log and everything that proofs leave behind. */
    async reset(): Promise<void> {
      await owner.query(
        `TRUNCATE tenants, batches, log_head, leaf_queue, leaves, tiles, checkpoints, timestamps, anchors, log_progress, seals, outbox, batch_wakes, timeline, events,
           submission_queue, retry_queue, former_batches, command_requests, proof_commands, licence_queue, licence_consumptions, certificates, audit CASCADE`,
      );
      await db.query('UPDATE anchor_windows SET needed_index = NULL, closed_at = NULL');
      await inTransaction(db, (tx) => ensureLog(tx, origin, now()));
      await life.signHead(0n);
    },
    async signHead(size: bigint): Promise<void> {
      const { rows } = await db.query('SELECT root FROM log_head WHERE origin = $1', [origin]);
      await storeCheckpointNote(db, { origin, size, root: rows[0].root, note: `note of ${size}`, now: now() });
    },
    form: (maxUnsealed = 8) => formBatch(db, { newId: randomUUID, now: now(), maxUnsealed }),
    /** Forms one batch; its id. */
    async formed(): Promise<BatchId> {
      const outcome = await life.form();
      if (!LANES.some((lane) => lane === outcome)) throw new Error(`formBatch says ${outcome}`);
      return (await owner.query('SELECT id FROM batches ORDER BY formed_at DESC LIMIT 1')).rows[0].id;
    },
    async freeze(batch: BatchId): Promise<void> {
      for (let after: FrozenUpTo | undefined; ; ) {
        ({ after } = await inTransaction(db, (tx) =>
          freezeStatements(tx, { batch, kid: 'seal', version: 1, randomBytes, after }),
        ));
        if (after === undefined) return;
      }
    },
    async sealMembers(batch: BatchId): Promise<void> {
      await life.freeze(batch);
      for (;;) {
        const chunk = await readUnsealed(db, batch, SEAL_CHUNK);
        if (chunk.length === 0) return;
        await storeSeals(db, { batch, seals: chunk.map((u) => ({ ...u, signature: randomBytes(64) })), now: now() });
      }
    },
    async seal(batch: BatchId): Promise<void> {
      await life.sealMembers(batch);
      await inTransaction(db, async (tx) => {
        await armBatch(tx, batch, origin, now());
        await markSealed(tx, batch, now());
      });
    },
    fail: (batch: BatchId, proofId: ProofId, stage = 'SEALED') =>
      failProofs(db, {
        batch,
        stage,
        now: now(),
        failures: [{ proofId, code: 'SIGNER_REFUSED', detail: 'not this one' }],
      }),
    async integrate(): Promise<bigint> {
      const { head } = await inTransaction(db, (tx) => integrateLeaves(tx, { origin, now: now() }));
      await life.signHead(head.size);
      return head.size;
    },
    /** Covers the tree by a token, or by an anchor too; the proofs hear of it by `advance`. */
    async cover(by: 'timestamp' | 'anchor'): Promise<void> {
      const { rows } = await owner.query('SELECT size FROM log_head WHERE origin = $1', [origin]);
      const size = String(rows[0].size);
      if (by === 'timestamp') {
        await owner.query(
          `INSERT INTO timestamps (origin, size, tsa, token, token_sha256, gen_time, serial, policy, self_operated, accepted_at)
           VALUES ($1, $2::text::bigint, 'tsa', $3, $4, $5, $2::text, '1.2.3', true, $5) ON CONFLICT DO NOTHING`,
          [origin, size, Buffer.from(size), createHash('sha256').update(size).digest(), now()],
        );
        await owner.query('UPDATE log_progress SET timestamped_size = $1', [size]);
        return;
      }
      const entry = {
        ledger: 'hedera-hcs/v1',
        network: 'simulator',
        topicId: '0.0.1001',
        sequenceNumber: size,
        consensusTimestamp: `${size}.000000000`,
      };
      await owner.query(
        `INSERT INTO anchors (origin, size, "window", state, entry, created_at, updated_at) VALUES ($1, $2, 'express', 'VERIFIED', $3, $4, $4) ON CONFLICT DO NOTHING`,
        [origin, size, JSON.stringify(entry), now()],
      );
      await owner.query('UPDATE log_progress SET anchored_size = $1', [size]);
    },
    async advance(): Promise<void> {
      while (await advanceEvidence(db, { origin, now: now() }));
    },
    /** A running period with this many units. */
    async grant(tenant: TenantId, quota: number): Promise<void> {
      const id = `grant-${randomUUID()}`;
      await owner.query(
        `INSERT INTO licence_grants (id, hash, tenant_id, seq, kind, jws, payload, not_before, imported_by, imported_at)
         VALUES ($1, sha256(convert_to($1, 'UTF8')), $2, 1, 'BASE', '', '{}', '2026-01-01T00:00:00Z', 'test', $3)`,
        [id, tenant, now()],
      );
      await owner.query(
        `INSERT INTO licence_periods (grant_id, n, tenant_id, starts_at, quota) VALUES ($1, 0, $2, '2026-01-01T00:00:00Z', $3)`,
        [id, tenant, quota],
      );
    },
    /** Drafts certificates of the members whose evidence is complete. */
    async draft(batch: BatchId): Promise<void> {
      for (const tenant of await life.queue(batch)) await life.drain(tenant, batch);
    },
    queue: (batch: BatchId) => queueForLicence(db, batch, now()),
    async drain(tenant: TenantId, batch: BatchId): Promise<void> {
      while (
        (await drainLicences(db, tenant, { clock, origin, publicUrl: 'https://p.example', batchIds: [batch] })).more
      );
    },
    /** What `certifyProofs` does; whether the batch is closed now. */
    async certify(batch: BatchId): Promise<boolean> {
      await life.draft(batch);
      for (;;) {
        const drafts = await readDrafts(db, batch);
        if (drafts.length === 0) break;
        const certificates = drafts.map(({ proofId }) => ({ proofId, signature: Buffer.from(`of ${proofId}`) }));
        await storeCertificates(db, { batch, kid: 'certificate', version: 1, certificates, now: now() });
      }
      return inTransaction(db, async (tx) => {
        await armBatch(tx, batch, origin, now());
        const left = await closeIfDone(tx, batch, now());
        return left.awaitingEvidence + left.awaitingLicence + left.unsigned === 0;
      });
    },
    /** Writes a request of an operator as the API does. */
    async request(verb: CommandVerb, target: readonly ProofId[] | CommandFilter): Promise<CommandId> {
      const id = randomUUID() as string as CommandId;
      const result = await requestCommands(api, {
        id,
        verb,
        actor: 'key:operator',
        reason: 'asked by "the" client \u2028 é',
        target: Array.isArray(target) ? { proofs: target } : { filter: target as CommandFilter },
        bodyHash: Buffer.alloc(32),
        at: now(),
      });
      if (result.outcome !== 'created') throw new Error(result.outcome);
      return id;
    },
    apply: () => applyPending(db, { origin, now: now() }),
    /** Turns of the relay's loop until nothing is left; how many commands each decided. */
    async applyAll(): Promise<number[]> {
      const steps: number[] = [];
      for (;;) {
        const applied = await life.apply();
        if (applied > 0) steps.push(applied);
        else if (!(await expandFilters(db))) return steps;
      }
    },
    /** Requests and applies one verb; the outcome of each proof in its order. */
    async command(
      verb: CommandVerb,
      proofs: readonly ProofId[],
    ): Promise<readonly { state: string; detail: string | null }[]> {
      const id = await life.request(verb, proofs);
      await life.apply();
      return (await readCommands(api, id, undefined))?.items ?? [];
    },
    async stateOf(proof: ProofId): Promise<ProofState> {
      return (await owner.query('SELECT state FROM proofs WHERE id = $1', [proof])).rows[0].state;
    },
    /** Its steps as the API reads them; notes in parentheses. */
    timelineOf: (tenant: TenantId, proof: ProofId): Promise<string[]> =>
      inTransaction(api, async (tx) => {
        await tx.query("SELECT set_config('proofline.tenant', $1, true)", [tenant]);
        const { rows } = await tx.query('SELECT state, changes_state FROM proof_timeline($1)', [proof]);
        return rows.map((row) => (row.changes_state ? row.state : `(${row.state})`));
      }),
  };
  return life;
}
