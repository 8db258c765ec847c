/** Signs a committed head: the one place that asks for a checkpoint's signature. */

import { fromBase64Url } from '../../domain/bytes.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { formatCheckpointBody, verifyCheckpoint } from '../../log/checkpoint.ts';
import { createNoteKey, type NoteKey, signNote } from '../../log/note.ts';
import { verifyConsistency } from '../../log/tree.ts';
import { readConsistencyProof, readLatestCheckpoint } from '../../store/log.read.ts';
import type { LogHead } from '../../store/log.ts';
import type { Db } from '../../store/pool.ts';
import type { Signer } from '../sealing/signer-client.ts';

export type LogSigner = Pick<Signer, 'sign' | 'key' | 'lastCheckpoint'>;

/** The key that signs checkpoints. */
export const LOG_KID = 'log';

/**
 * Throws LOG_ROLLBACK unless the head extends the newest published checkpoint. The proof is made of the rows as they
 * are committed and verified as any stranger would.
 */
export async function requireConsistentHead(db: Db, head: LogHead): Promise<void> {
  const last = await readLatestCheckpoint(db, head.origin);
  if (last === undefined) return;
  if (last.size > head.size)
    throw new ProoflineError('LOG_ROLLBACK', `head of ${head.size} leaves behind the published ${last.size}`);
  const proof = await readConsistencyProof(db, last.size, head.size);
  if (!verifyConsistency({ first: last.size, firstRoot: last.root, second: head.size, secondRoot: head.root, proof }))
    throw new ProoflineError('LOG_ROLLBACK', `head of ${head.size} leaves does not extend the published ${last.size}`);
}

/**
 * The signed note of a committed head. The signer refuses a head that contradicts what it signed before (LOG_ROLLBACK).
 * After a crash here the head is still unsigned and is signed again, with the same bytes. `attempt` counts from 0: a
 * repeat is a new request to the signer, which would else replay a spoilt answer.
 */
export async function signHead(
  signer: LogSigner,
  head: LogHead,
  attempt: number,
  signal: AbortSignal,
): Promise<string> {
  const body = formatCheckpointBody(head);
  const value = new TextEncoder().encode(body);
  const { version, signatures } = await signer.sign(
    {
      kid: LOG_KID,
      alg: 'EdDSA',
      kind: 'tbs',
      values: [value],
      context: { origin: head.origin, size: head.size.toString(), ...(attempt > 0 && { attempt: `${attempt}` }) },
    },
    signal,
  );
  const [signature] = signatures;
  if (signature === undefined) throw new ProoflineError('SIGNER_BAD_ANSWER', 'no signature for the checkpoint');
  const key = await readNoteKey(signer, head.origin, version);
  const note = await signNote(body, [{ key, sign: async () => signature }]);
  const verdict = await verifyCheckpoint(note, [key], head.origin);
  if (!verdict.valid)
    throw new ProoflineError(
      'SIGNER_BAD_SIGNATURE',
      `the checkpoint of ${head.size} leaves does not verify: ${verdict.reason}`,
    );
  return note;
}

const known = new WeakMap<LogSigner, Map<string, NoteKey>>();

/** The note key of a version of the log key; asked once per version, since a version's key never changes. */
async function readNoteKey(signer: LogSigner, origin: string, version: number): Promise<NoteKey> {
  const keys = known.get(signer) ?? new Map<string, NoteKey>();
  known.set(signer, keys);
  const id = `${version} ${origin}`;
  const kept = keys.get(id);
  if (kept !== undefined) return kept;
  const { versions } = await signer.key(LOG_KID);
  const publicKey = fromBase64Url(versions.find((v) => v.version === version)?.jwk.x ?? '');
  if (publicKey?.length !== 32)
    throw new ProoflineError('SIGNER_BAD_ANSWER', `no Ed25519 key for ${LOG_KID} version ${version}`);
  const key = createNoteKey(origin, publicKey);
  keys.set(id, key);
  return key;
}
