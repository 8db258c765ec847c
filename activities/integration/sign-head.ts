/** Signs a committed head: the one place that asks for a checkpoint's signature. */

import { fromBase64Url } from '../../domain/bytes.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { encodeUtf8 } from '../../log/bytes.ts';
import { formatCheckpointBody, verifyCheckpoint } from '../../log/checkpoint.ts';
import { createNoteKey, type NoteKey, signNote } from '../../log/note.ts';
import { verifyConsistency } from '../../log/tree.ts';
import { readConsistencyProof, readLatestCheckpoint } from '../../store/log.read.ts';
import type { LogHead } from '../../store/log.ts';
import type { Db } from '../../store/pool.ts';
import type { Signer, SignerKey, SignRequest } from '../sealing/signer-client.ts';

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
 * While a rotation has two versions active the note bears both signatures, so that whoever knows one key verifies it.
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
  const context = { origin: head.origin, size: head.size.toString(), ...(attempt > 0 && { attempt: `${attempt}` }) };
  const request: SignRequest = { kid: LOG_KID, alg: 'EdDSA', kind: 'tbs', values: [encodeUtf8(body)], context };
  const newest = await signer.sign(request, signal);
  const signed = [newest];
  for (const version of await readOtherActive(signer, newest.version)) {
    const older = await signer.sign({ ...request, version }, signal).catch(ignoreInactive);
    if (older !== undefined) signed.push(older);
  }
  const signers = await Promise.all(
    signed.map(async ({ version, signatures: [signature] }) => ({
      key: await readNoteKey(signer, head.origin, version),
      async sign() {
        if (signature === undefined) throw new ProoflineError('SIGNER_BAD_ANSWER', 'no signature for the checkpoint');
        return signature;
      },
    })),
  );
  const note = await signNote(body, signers);
  for (const { key } of signers) {
    const verdict = await verifyCheckpoint(note, [key], head.origin);
    if (!verdict.valid)
      throw new ProoflineError(
        'SIGNER_BAD_SIGNATURE',
        `the checkpoint of ${head.size} leaves does not verify: ${verdict.reason}`,
      );
  }
  return note;
}

/** What the signer showed of the log key, and when (process time). */
const shown = new WeakMap<LogSigner, { readonly key: SignerKey; readonly atMs: number }>();
const LOOK_AGAIN_MS = 10_000;

async function readLogKey(signer: LogSigner, version: number): Promise<SignerKey> {
  const last = shown.get(signer);
  const isKnown = last?.key.versions.some((v) => v.version === version) === true;
  if (last !== undefined && isKnown && performance.now() - last.atMs < LOOK_AGAIN_MS) return last.key;
  const key = await signer.key(LOG_KID);
  shown.set(signer, { key, atMs: performance.now() });
  return key;
}

async function readOtherActive(signer: LogSigner, newest: number): Promise<number[]> {
  const { versions } = await readLogKey(signer, newest);
  return versions
    .filter(({ version, state }) => version !== newest && state === 'active')
    .map(({ version }) => version);
}

async function readNoteKey(signer: LogSigner, origin: string, version: number): Promise<NoteKey> {
  const { versions } = await readLogKey(signer, version);
  const publicKey = fromBase64Url(versions.find((v) => v.version === version)?.jwk?.x ?? '');
  if (publicKey?.length !== 32)
    throw new ProoflineError('SIGNER_BAD_ANSWER', `no Ed25519 key for ${LOG_KID} version ${version}`);
  return createNoteKey(origin, publicKey);
}

/** A version that stopped signing since it was last shown is left out: the newest has signed. */
function ignoreInactive(error: unknown): undefined {
  if (error instanceof ProoflineError && error.code === 'SIGNER_KEY_NOT_ACTIVE') return undefined;
  throw error;
}
