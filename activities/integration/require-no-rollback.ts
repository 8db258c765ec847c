import { setTimeout as pause } from 'node:timers/promises';
import { ProoflineError } from '../../domain/errors.ts';
import { areEqual } from '../../log/bytes.ts';
import { verifyConsistency } from '../../log/tree.ts';
import { readConsistencyProof, readLatestCheckpoint } from '../../store/log.read.ts';
import { readLogWork } from '../../store/log.ts';
import type { Db } from '../../store/pool.ts';
import type { LogSigner } from './sign-head.ts';

export interface RollbackDeps {
  readonly db: Db;
  readonly signer: LogSigner;
  readonly origin: string;
  /** The largest tree of this log on the ledger, as mirrors show it; absent without a ledger. Throws LEDGER_UNAVAILABLE. */
  readonly newestAnchor?: (() => Promise<Tree | undefined>) | undefined;
}

/** How long the log waits for a mirror while the signer vouches for it. */
const MIRROR_PATIENCE_MS = 2_000;

/**
 * Compares the head with what the world has seen of this log: the newest published checkpoint, token and anchor in
 * Postgres, the signer's memory and the newest anchor on the ledger (on the topic, or in the contract where no topic is written to), which a restored database does not take back.
 * Throws LOG_ROLLBACK if the head is behind any of them or does not extend the tree that was signed or anchored. A
 * signer without memory of this log vouches for nothing: then the ledger must answer, or LEDGER_UNAVAILABLE is thrown.
 */
export async function requireNoRollback({ db, signer, origin, newestAnchor }: RollbackDeps): Promise<void> {
  const work = await readLogWork(db, origin);
  if (work === undefined) throw new ProoflineError('LOG_CORRUPT', `the log ${origin} has no head`);
  const { head } = work;
  const published = await readLatestCheckpoint(db, origin);
  const { rows } = await db.query<{ stamped: bigint | null; anchored: bigint | null; entered: bigint | null }>(
    `SELECT (SELECT max(size) FROM timestamps WHERE origin = $1) AS stamped, (SELECT max(size) FROM anchors WHERE origin = $1) AS anchored,
       (SELECT max(size) FROM contract_anchors WHERE origin = $1) AS entered`,
    [origin],
  );
  const signed = await signer.lastCheckpoint(origin);
  const onLedger = signed === undefined ? await newestAnchor?.() : await readIfQuick(newestAnchor);
  const seen = {
    published: published?.size,
    stamped: rows[0]?.stamped,
    anchored: rows[0]?.anchored,
    'anchored in the contract': rows[0]?.entered,
    signed: signed?.size,
    'on the ledger': onLedger?.size,
  };
  for (const [where, size] of Object.entries(seen)) {
    if (size != null && size > head.size)
      throw new ProoflineError('LOG_ROLLBACK', `head of ${head.size} leaves, ${where} ${size}`, {
        extra: { size: size.toString() },
      });
  }
  for (const [how, tree] of [['signed', signed] as const, ['anchored', onLedger] as const]) {
    if (tree === undefined) continue;
    if (tree.size === head.size ? areEqual(tree.root, head.root) : await extendsTree(db, tree, head)) continue;
    throw new ProoflineError(
      'LOG_ROLLBACK',
      `the tree of ${head.size} leaves does not extend the one of ${tree.size} that was ${how}`,
    );
  }
}

/** A ledger that is down or slow does not hold a log that the signer vouches for. */
async function readIfQuick(newestAnchor: RollbackDeps['newestAnchor']): Promise<Tree | undefined> {
  const patience = new AbortController();
  const slow = pause(MIRROR_PATIENCE_MS, undefined, { signal: patience.signal });
  return Promise.race([newestAnchor?.(), slow])
    .catch(() => undefined)
    .finally(() => {
      slow.catch(() => undefined);
      patience.abort();
    });
}

type Tree = { readonly size: bigint; readonly root: Uint8Array };

async function extendsTree(db: Db, first: Tree, second: Tree): Promise<boolean> {
  const proof = await readConsistencyProof(db, first.size, second.size);
  return verifyConsistency({
    first: first.size,
    firstRoot: first.root,
    second: second.size,
    secondRoot: second.root,
    proof,
  });
}
