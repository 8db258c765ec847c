import { utf8 } from '../../domain/bytes.ts';
import type { Clock } from '../../domain/clock.ts';
import { ProoflineError } from '../../domain/errors.ts';
import type { BatchId } from '../../domain/ids.ts';
import { sealHeader, sealSigningInput } from '../../domain/seal.ts';
import { armBatch, markSealed } from '../../store/batches.ts';
import { type Db, inTransaction } from '../../store/pool.ts';
import {
  failProofs,
  freezeStatements,
  readUnsealed,
  SEAL_CHUNK,
  storeSeals,
  thawUnsealed,
  type Unsealed,
} from '../../store/seals.ts';
import { activeVersion } from './active-version.ts';
import type { Signer } from './signer-client.ts';

/** Key id of the seal key at the signer. */
export const SEAL_KID = 'seal';

export interface SealingDeps {
  readonly db: Db;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly origin: string;
  readonly randomBytes: (n: number) => Uint8Array;
  /** Tells Temporal that the activity lives; says how far it is. */
  readonly heartbeat: (detail: unknown) => void;
}

export interface SealBatchInput {
  readonly batchId: string;
}

export interface SealBatchResult {
  readonly sealed: number;
  readonly failed: number;
  /** The evidence is complete already: nobody will wake the batch for it. */
  readonly complete: boolean;
}

export type SealingActivities = ReturnType<typeof createSealing>;

export function createSealing(deps: SealingDeps) {
  const { db, signer, clock } = deps;

  return {
    /**
     * Seals the members of a batch: freezes their statements chunk by chunk, has them signed, keeps the seals and
     * queues the leaves. Key (batch, proof): what is frozen, sealed or failed already is skipped. One refused value
     * fails alone. Throws SIGNER_*, STORE_UNAVAILABLE.
     */
    async sealBatch({ batchId }: SealBatchInput): Promise<SealBatchResult> {
      const batch = batchId as BatchId;
      await freeze(batch);
      let failed = 0;
      const sealed = await sealAll(batch, async (chunk, error) => {
        if (error.code === 'SIGNER_KEY_NOT_ACTIVE') {
          // A crash here leaves the statements unfrozen; the next attempt freezes them with the next version.
          await thawUnsealed(db, batch);
          await freeze(batch);
        } else if (error.code === 'SIGNER_REFUSED') {
          failed += await failRefused(batch, chunk, error);
        } else throw error;
      });
      const arm = await inTransaction(db, async (tx) => {
        const result = await armBatch(tx, batch, deps.origin, clock.nowMicros());
        await markSealed(tx, batch, clock.nowMicros());
        return result;
      });
      return { sealed, failed, complete: arm.complete };
    },
  };

  /**
   * Signs chunk after chunk, the next while the last is being stored; `mend` deals with a chunk that the signer refused,
   * and then what is left is read anew. Returns how many were sealed.
   */
  async function sealAll(
    batch: BatchId,
    mend: (chunk: readonly Unsealed[], error: ProoflineError) => Promise<void>,
  ): Promise<number> {
    let sealed = 0;
    let storing: Promise<void> = Promise.resolve();
    let after: number | undefined;
    try {
      for (;;) {
        const chunk = await readUnsealed(db, batch, SEAL_CHUNK, after);
        if (chunk.length === 0) {
          await storing;
          if (after === undefined) return sealed;
          after = undefined;
          continue;
        }
        let signatures: readonly Uint8Array[];
        try {
          signatures = await sign(batch, chunk);
        } catch (error) {
          if (!(error instanceof ProoflineError)) throw error;
          await storing;
          await mend(chunk, error);
          after = undefined;
          continue;
        }
        await storing;
        // After a crash here the signer replays the same signatures; whichever are stored first stay.
        storing = store(batch, chunk, signatures).then((count) => {
          sealed += count;
          deps.heartbeat({ sealed });
        });
        // It is awaited in the next turn; a turn that fails before must not leave it unheard.
        storing.catch(() => undefined);
        after = chunk.at(-1)?.ordinal;
      }
    } finally {
      // Nothing of an attempt goes on beside the next.
      await storing.catch(() => undefined);
    }
  }

  async function freeze(batch: BatchId): Promise<void> {
    const version = await activeVersion(signer, SEAL_KID);
    while (
      (await freezeStatements(db, {
        batch,
        kid: SEAL_KID,
        version,
        randomBytes: deps.randomBytes,
      })) === SEAL_CHUNK
    ) {
      deps.heartbeat({ freezing: true });
    }
  }

  async function sign(batch: BatchId, chunk: readonly Unsealed[]): Promise<readonly Uint8Array[]> {
    const { kid, version } = chunk[0] as Unsealed;
    const header = sealHeader(kid, version);
    const start = utf8.decode(sealSigningInput(header, new Uint8Array(0)));
    // Pooled: a typed array each would be another allocation outside the heap.
    const values = chunk.map((u) => Buffer.from(`${start}${u.statement}`, 'utf8'));
    return (await signer.sign({ kid, version, alg: 'ES256', kind: 'tbs', values, context: { batch, step: 'seal' } }))
      .signatures;
  }

  async function seal(batch: BatchId, chunk: readonly Unsealed[]): Promise<number> {
    return store(batch, chunk, await sign(batch, chunk));
  }

  function store(batch: BatchId, chunk: readonly Unsealed[], signatures: readonly Uint8Array[]): Promise<number> {
    const seals = chunk.map((u, i) => ({ ...u, signature: signatures[i] as Uint8Array }));
    return storeSeals(db, { batch, seals, now: clock.nowMicros() });
  }

  /** Named by index, or found by halving the chunk until one value stands alone. */
  async function failRefused(batch: BatchId, chunk: readonly Unsealed[], error: ProoflineError): Promise<number> {
    const index = error.extra.index;
    if (typeof index === 'number' && chunk[index] !== undefined) return fail(batch, chunk[index], error);
    if (chunk.length === 1) return fail(batch, chunk[0] as Unsealed, error);
    const half = chunk.slice(0, Math.ceil(chunk.length / 2));
    try {
      await seal(batch, half);
      return 0;
    } catch (again) {
      if (again instanceof ProoflineError && again.code === 'SIGNER_REFUSED') return failRefused(batch, half, again);
      throw again;
    }
  }

  function fail(batch: BatchId, refused: Unsealed, error: ProoflineError): Promise<number> {
    return failProofs(db, {
      batch,
      stage: 'SEALED',
      now: clock.nowMicros(),
      failures: [{ proofId: refused.proofId, code: error.code, detail: error.detail }],
    });
  }
}
