import { ProoflineError } from '../../domain/errors.ts';
import { areEqual } from '../../log/bytes.ts';
import { verifyConsistency } from '../../log/tree.ts';
import { readConsistencyProof, readLatestCheckpoint } from '../../store/log.read.ts';
import { readLogWork } from '../../store/log.ts';
import type { Db } from '../../store/pool.ts';
import type { LogSigner } from './sign-head.ts';

/**
 * Compares the head with what the world has seen of this log: the newest published checkpoint, token and anchor in
 * Postgres, and the signer's memory, which a restored database does not take back. Throws LOG_ROLLBACK if the head
 * is behind any of them or does not extend the tree that was signed.
 */
export async function requireNoRollback({
  db,
  signer,
  origin,
}: {
  readonly db: Db;
  readonly signer: LogSigner;
  readonly origin: string;
}): Promise<void> {
  const work = await readLogWork(db, origin);
  if (work === undefined) throw new ProoflineError('LOG_CORRUPT', `the log ${origin} has no head`);
  const { head } = work;
  const published = await readLatestCheckpoint(db, origin);
  const { rows } = await db.query<{ stamped: bigint | null; anchored: bigint | null }>(
    'SELECT (SELECT max(size) FROM timestamps WHERE origin = $1) AS stamped, (SELECT max(size) FROM anchors WHERE origin = $1) AS anchored',
    [origin],
  );
  const signed = await signer.lastCheckpoint(origin);
  const seen = {
    published: published?.size,
    stamped: rows[0]?.stamped,
    anchored: rows[0]?.anchored,
    signed: signed?.size,
  };
  for (const [where, size] of Object.entries(seen)) {
    if (size != null && size > head.size)
      throw new ProoflineError('LOG_ROLLBACK', `head of ${head.size} leaves, ${where} ${size}`, {
        extra: { size: size.toString() },
      });
  }
  if (signed === undefined) return;
  if (signed.size === head.size ? areEqual(signed.root, head.root) : await extendsTree(db, signed, head)) return;
  throw new ProoflineError(
    'LOG_ROLLBACK',
    `the tree of ${head.size} leaves does not extend the one of ${signed.size} that was signed`,
  );
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
