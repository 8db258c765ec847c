import { ProoflineError } from '../domain/errors.ts';
import { keyReference } from '../domain/seal.ts';
import { requestEvidenceRenewal } from './evidence-renewals.ts';
import { asStoreError, type Db, inTransaction } from './pool.ts';

/** A public JWK: crv, x (and y), or n and e. */
interface Jwk {
  readonly kty: string;
  readonly crv?: string;
  readonly x?: string;
  readonly y?: string;
  readonly n?: string;
  readonly e?: string;
}

/** A key as the signer shows it; instants RFC 3339. */
export interface KeyToPublish {
  readonly kid: string;
  readonly purpose: string;
  readonly versions: readonly {
    readonly version: number;
    readonly state: string;
    readonly alg: string;
    /** Absent of a secret, which is not published. */
    readonly jwk?: Jwk;
    /** PEM, leaf first. */
    readonly chain: readonly string[];
    readonly validFrom: string;
    readonly validTo?: string;
    readonly compromisedAt?: string;
  }[];
}

/** The public key that was published for a version, undefined before it was. Throws STORE_UNAVAILABLE. */
export async function readPublishedJwk(db: Db, kid: string, version: number): Promise<Jwk | undefined> {
  try {
    const { rows } = await db.query<{ jwk: Jwk }>('SELECT jwk FROM published_keys WHERE kid = $1 AND version = $2', [
      kid,
      version,
    ]);
    return rows[0]?.jwk;
  } catch (error) {
    throw asStoreError(error);
  }
}

/**
 * What a version once was for readers, it stays: later answers of a signer only narrow it. Returns each version written, and
 * whether it is compromised since an earlier moment than was known: what is signed by it needs other evidence of its age.
 */
const UPSERT = `
  WITH before AS (SELECT kid, version, compromised_at FROM published_keys WHERE state = 'compromised'),
  written AS (
  INSERT INTO published_keys AS k (kid, version, purpose, alg, jwk, chain, valid_from, valid_to, state, compromised_at, from_size, updated_at)
  SELECT v.kid, v.version, v.purpose, v.alg, v.jwk, v.chain, v.valid_from, v.valid_to, v.state, v.compromised_at,
    -- A version signs no checkpoint before its first moment, so none smaller than the last one before that.
    CASE WHEN v.purpose = 'log-checkpoint' THEN coalesce((SELECT max(size) FROM checkpoints WHERE published_at < v.valid_from), 0) END, $2
  FROM jsonb_to_recordset($1::jsonb) AS v (kid text, version integer, purpose text, alg text, jwk jsonb, chain text[],
    valid_from timestamptz, valid_to timestamptz, state text, compromised_at timestamptz)
  ORDER BY v.kid, v.version
  ON CONFLICT (kid, version) DO UPDATE SET
    chain = excluded.chain,
    valid_to = least(k.valid_to, excluded.valid_to),
    state = CASE WHEN k.state IN ('compromised', 'destroyed') AND excluded.state <> 'compromised' THEN k.state ELSE excluded.state END,
    compromised_at = least(k.compromised_at, excluded.compromised_at),
    updated_at = CASE WHEN (k.chain, k.valid_to, k.state, k.compromised_at) IS DISTINCT FROM
      (excluded.chain, excluded.valid_to, excluded.state, excluded.compromised_at) THEN $2 ELSE k.updated_at END
  WHERE k.jwk = excluded.jwk AND k.alg = excluded.alg AND k.purpose = excluded.purpose
  RETURNING kid, version, purpose, state, compromised_at)
  SELECT w.kid, w.version, w.state = 'compromised' AND w.purpose IN ('seal', 'certificate', 'log-checkpoint')
    AND (b.kid IS NULL OR w.compromised_at < b.compromised_at) AS "isNewlyCompromised"
  FROM written w LEFT JOIN before b USING (kid, version) ORDER BY w.kid, w.version`;

/** A log key that stopped signing has signed nothing beyond the head of that moment. */
const CLOSE_LOG_KEYS = `
  UPDATE published_keys SET to_size = (SELECT max(size) FROM log_head)
  WHERE purpose = 'log-checkpoint' AND to_size IS NULL AND state NOT IN ('active', 'pre-active', 'suspended')`;

/**
 * Publishes the public keys of the signer for verifiers: every version, retired ones too. Key (kid, version); the rows
 * are locked in that order. A window only shrinks and a compromise stays. Throws SIGNER_BAD_SIGNATURE, and publishes
 * nothing, if a version shows another key than the one published: a signer with swapped keys. A compromise that becomes
 * known asks for the renewal of evidence in the same transaction.
 */
export async function publishKeys(db: Db, keys: readonly KeyToPublish[], now: string): Promise<void> {
  const rows = keys.flatMap(({ kid, purpose, versions }) =>
    versions
      .filter((v) => v.jwk !== undefined)
      .map((v) => ({
        kid,
        version: v.version,
        purpose,
        alg: v.alg,
        jwk: v.jwk,
        chain: v.chain,
        valid_from: v.validFrom,
        valid_to: v.validTo ?? null,
        state: v.state,
        compromised_at: v.compromisedAt ?? null,
      })),
  );
  await inTransaction(db, async (tx) => {
    const { rows: written } = await tx.query<{ kid: string; version: number; isNewlyCompromised: boolean }>(UPSERT, [
      JSON.stringify(rows),
      now,
    ]);
    if (written.length !== rows.length) {
      throw new ProoflineError(
        'SIGNER_BAD_SIGNATURE',
        `${rows.length - written.length} of ${rows.length} key versions are other keys than those published`,
      );
    }
    await tx.query(CLOSE_LOG_KEYS);
    for (const { kid, version, isNewlyCompromised } of written) {
      if (!isNewlyCompromised) continue;
      await requestEvidenceRenewal(tx, { reason: 'KEY_COMPROMISED', subject: keyReference(kid, version) }, now);
    }
  });
}
