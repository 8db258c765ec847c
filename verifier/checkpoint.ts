import type { Bundle } from '../domain/bundle.ts';
import { equalBytes } from '../domain/bytes.ts';
import { type Checkpoint, type CheckpointVerdict, parseCheckpointBody, verifyCheckpoint } from '../log/checkpoint.ts';
import { type NoteKey, parseNote } from '../log/note.ts';
import type { VerifierCache } from './cache.ts';
import type { ProofTime } from './timestamp.ts';
import { type LogKey, ownLogKeys, type TrustView } from './trust-view.ts';
import { type ClaimResult, missing, result } from './verdict.ts';

/** A checkpoint as it is written, whoever signed it. */
export interface OpenCheckpoint {
  readonly checkpoint: Checkpoint;
  /** The signed text; its SHA-256 is what an authority stamps. */
  readonly body: string;
}

/** Undefined when the note or its text is malformed. */
export function openCheckpoint(note: string): OpenCheckpoint | undefined {
  try {
    const { text } = parseNote(note);
    return { checkpoint: parseCheckpointBody(text), body: text };
  } catch {
    return undefined;
  }
}

/** Claim `checkpoint`: the log signed the tree head that the inclusion proof leads to. */
export async function checkCheckpoint(
  bundle: Bundle,
  view: TrustView,
  time: ProofTime,
  cache: VerifierCache,
): Promise<ClaimResult> {
  if (bundle.checkpoint === undefined) return missing(bundle.pending.includes('inclusion'));
  return judgeCheckpoint(bundle.checkpoint, bundle, view, time, cache);
}

/** The same of any checkpoint that the bundle carries. */
export async function judgeCheckpoint(
  note: string,
  bundle: Bundle,
  view: TrustView,
  time: ProofTime,
  cache: VerifierCache,
): Promise<ClaimResult> {
  const opened = openCheckpoint(note);
  if (opened === undefined) return result('invalid', 'checkpoint-bad', { detail: 'malformed' });
  const { origin, size } = opened.checkpoint;
  const detail = `${origin}, ${size} leaves`;
  if (view.origin !== undefined && origin !== view.origin)
    return result('invalid', 'other-log', { detail: `${origin}, trusted ${view.origin}` });
  if (origin !== bundle.inclusion?.origin) return result('invalid', 'other-log', { detail });
  const signed = await verifySigned(note, view.logKeys, view.logKeysId, origin, cache);
  if (!signed.valid) {
    if (signed.reason !== 'no-known-key' || view.source === 'own-keys')
      return result('invalid', 'checkpoint-bad', { detail: signed.reason });
    const keys = ownLogKeys(bundle).map(({ key }) => key);
    return (await verifyCheckpoint(note, keys, origin)).valid
      ? result('unverified', 'log-key-not-in-trust-file', { detail })
      : result('invalid', 'checkpoint-bad', { detail: signed.reason });
  }
  const signers = view.logKeys.filter((one) => signed.signers.some((signer) => isSameKey(signer, one.key)));
  const inWindow = signers.filter((one) => size >= one.fromSize && (one.toSize === undefined || size <= one.toSize));
  if (inWindow.length === 0) return result('invalid', 'log-key-outside-window', { detail });
  const isSound = inWindow.some(
    ({ compromisedAt }) =>
      compromisedAt === undefined ||
      (time.isVerified && time.latestMicros !== undefined && time.latestMicros < compromisedAt),
  );
  if (!isSound) return result('invalid', 'key-compromised', { detail });
  return view.source === 'pinned'
    ? result('valid', 'checkpoint-good', { detail })
    : result('unverified', 'own-keys', { detail });
}

function verifySigned(
  note: string,
  logKeys: readonly LogKey[],
  keysId: string,
  origin: string,
  cache: VerifierCache,
): Promise<CheckpointVerdict> {
  // A batch shares its checkpoint: thousands of bundles ask for the same signature.
  const verify = (): Promise<CheckpointVerdict> =>
    verifyCheckpoint(
      note,
      logKeys.map(({ key }) => key),
      origin,
    );
  return cache.checkpoints.getOrMake(`${keysId}\n${origin}\n${note}`, verify);
}

function isSameKey(a: NoteKey, b: NoteKey): boolean {
  return a.name === b.name && equalBytes(a.publicKey, b.publicKey);
}
