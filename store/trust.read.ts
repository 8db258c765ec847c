/** The trust document, composed from what workers published: the instance's own facts, and every key of ours. */
import type { PublishedKey } from '../domain/bundle.ts';
import { fromBase64Url } from '../domain/bytes.ts';
import { ProoflineError } from '../domain/errors.ts';
import type { TrustDocument } from '../domain/trust.ts';
import { createNoteKey, formatVkey } from '../log/note.ts';
import type { InstanceDocument } from './instance.ts';
import { asStoreError, type Queryable } from './pool.ts';

/** Keys that a trust document lists at most; far above what rotation makes in decades. */
const MAX_KEYS = 4_000;

interface KeyRow {
  kid: string;
  version: number;
  purpose: PublishedKey['purpose'];
  alg: PublishedKey['alg'];
  jwk: Record<string, string>;
  valid_from: string;
  valid_to: string | null;
  state: PublishedKey['state'];
  compromised_at: string | null;
  from_size: bigint | null;
  to_size: bigint | null;
}

/** A published key, with the tree sizes from and to which a log key signs. */
export interface StoredKey {
  readonly key: PublishedKey;
  readonly fromSize: bigint;
  readonly toSize: bigint | null;
}

/** All that this instance publishes about itself. Throws NOT_READY before a worker has published it. */
export async function readTrustDocument(db: Queryable): Promise<TrustDocument> {
  const instance = await readInstance(db);
  const keys = await readPublishedKeys(db);
  if (instance === undefined || keys.length === 0)
    throw new ProoflineError('NOT_READY', 'the workers have not published the keys of this instance yet');
  const { instance: name, origin, roots, tsas, ledgers, log, verifier } = instance;
  return {
    instance: name,
    origin,
    vkeys: keys.filter(({ key }) => key.purpose === 'log-checkpoint').map((stored) => describeVkey(origin, stored)),
    jwks: { keys: keys.map(({ key }) => key) },
    roots,
    tsas,
    ledgers,
    log,
    verifier,
  };
}

/** Every key that evidence may be signed with, oldest first. Private keys are not here: the signer holds them. */
export async function readPublishedKeys(db: Queryable): Promise<StoredKey[]> {
  const { rows } = await ask<KeyRow>(
    db,
    `SELECT kid, version, purpose, alg, jwk, valid_from, valid_to, state, compromised_at, from_size, to_size FROM published_keys
     WHERE purpose IN ('seal', 'certificate', 'log-checkpoint') ORDER BY valid_from, kid, version LIMIT ${MAX_KEYS}`,
  );
  return rows.map((row) => ({
    key: {
      kid: row.kid,
      version: row.version,
      purpose: row.purpose,
      alg: row.alg,
      jwk: row.jwk,
      validFrom: row.valid_from,
      ...(row.valid_to === null ? {} : { validTo: row.valid_to }),
      state: row.state,
      ...(row.compromised_at === null ? {} : { compromisedAt: row.compromised_at }),
    },
    fromSize: row.from_size ?? 0n,
    toSize: row.to_size,
  }));
}

async function readInstance(db: Queryable): Promise<InstanceDocument | undefined> {
  const { rows } = await ask<{ document: InstanceDocument }>(db, 'SELECT document FROM instance WHERE id = 1');
  return rows[0]?.document;
}

/** The ledgers that this instance anchors on; none before a worker has published them. */
export async function readLedgers(db: Queryable): Promise<TrustDocument['ledgers']> {
  return (await readInstance(db))?.ledgers ?? [];
}

function describeVkey(origin: string, { key, fromSize, toSize }: StoredKey): TrustDocument['vkeys'][number] {
  const publicKey = fromBase64Url(key.jwk.x ?? '');
  if (publicKey === undefined) throw new Error(`the public key of ${key.kid}@${key.version} is malformed`);
  const vkey = formatVkey(createNoteKey(origin, publicKey));
  return { vkey, fromSize: fromSize.toString(), ...(toSize === null ? {} : { toSize: toSize.toString() }) };
}

async function ask<T extends object>(db: Queryable, sql: string): Promise<{ rows: T[] }> {
  try {
    return await db.query<T>(sql);
  } catch (error) {
    throw asStoreError(error);
  }
}
