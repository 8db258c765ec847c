/** C2SP tlog-proof@v1: an inclusion proof and its checkpoint as one text that verifies offline. At most 128 KiB. */
import { fromBase64, parseDecimal, toBase64 } from './bytes.ts';
import { type Checkpoint, verifyCheckpoint } from './checkpoint.ts';
import { LogFormatError, quote } from './errors.ts';
import { MAX_NOTE_BYTES, type NoteFault, type NoteKey, parseNote } from './note.ts';
import { HASH_BYTES, verifyInclusion } from './tree.ts';

const HEADER = 'c2sp.org/tlog-proof@v1';
const MAX_PROOF_LENGTH = 2 * MAX_NOTE_BYTES;
const MAX_PATH = 63;

export interface TlogProof {
  readonly index: bigint;
  /** From the leaf's sibling up to the root's child. */
  readonly path: readonly Uint8Array[];
  /** The signed note, verbatim. */
  readonly checkpoint: string;
  /** Not authenticated by anything. */
  readonly extra?: Uint8Array;
}

export type TlogProofVerdict =
  | {
      readonly valid: true;
      readonly proof: TlogProof;
      readonly checkpoint: Checkpoint;
      readonly signers: readonly NoteKey[];
    }
  | { readonly valid: false; readonly reason: NoteFault | 'wrong-origin' | 'not-included' };

/** Writes a proof; throws TLOG_PROOF if it could not be read again. */
export function formatTlogProof({ index, path, checkpoint, extra }: TlogProof): string {
  const lines = [
    HEADER,
    ...(extra === undefined ? [] : [`extra ${toBase64(extra)}`]),
    `index ${index}`,
    ...path.map(toBase64),
  ];
  const text = `${lines.join('\n')}\n\n${checkpoint}`;
  parseTlogProof(text);
  return text;
}

/** Reads all of a proof or throws TLOG_PROOF. */
export function parseTlogProof(text: string): TlogProof {
  if (text.length > MAX_PROOF_LENGTH)
    throw new LogFormatError('TLOG_PROOF', `${text.length} characters, at most ${MAX_PROOF_LENGTH}`);
  const split = text.indexOf('\n\n');
  if (split < 0) throw new LogFormatError('TLOG_PROOF', 'no blank line before the checkpoint');
  const checkpoint = text.slice(split + 2);
  const lines = text.slice(0, split).split('\n');
  if (lines.shift() !== HEADER) throw new LogFormatError('TLOG_PROOF', `header ${quote(text.slice(0, split))}`);
  const extraText = lines[0]?.startsWith('extra ') ? lines.shift()?.slice(6) : undefined;
  const indexLine = lines.shift() ?? '';
  const index = indexLine.startsWith('index ') ? parseDecimal(indexLine.slice(6)) : undefined;
  if (index === undefined) throw new LogFormatError('TLOG_PROOF', `index line ${quote(indexLine)}`);
  if (lines.length > MAX_PATH) throw new LogFormatError('TLOG_PROOF', `${lines.length} hashes, at most ${MAX_PATH}`);
  const path = lines.map((line) => {
    const hash = decode(line);
    if (hash.length !== HASH_BYTES) throw new LogFormatError('TLOG_PROOF', `hash ${quote(line)}`);
    return hash;
  });
  try {
    parseNote(checkpoint);
  } catch (cause) {
    throw new LogFormatError('TLOG_PROOF', `checkpoint: ${(cause as Error).message}`);
  }
  return { index, path, checkpoint, ...(extraText === undefined ? {} : { extra: decode(extraText) }) };
}

/** Whether the log of these keys and this origin holds the leaf, as the proof claims. Never throws. */
export async function verifyTlogProof(
  text: string,
  leafHash: Uint8Array,
  keys: readonly NoteKey[],
  origin: string,
): Promise<TlogProofVerdict> {
  let proof: TlogProof;
  try {
    proof = parseTlogProof(text);
  } catch {
    return { valid: false, reason: 'malformed' };
  }
  const verdict = await verifyCheckpoint(proof.checkpoint, keys, origin);
  if (!verdict.valid) return verdict;
  const { checkpoint, signers } = verdict;
  const isIncluded = verifyInclusion({
    leafHash,
    index: proof.index,
    size: checkpoint.size,
    path: proof.path,
    root: checkpoint.root,
  });
  return isIncluded ? { valid: true, proof, checkpoint, signers } : { valid: false, reason: 'not-included' };
}

function decode(text: string): Uint8Array {
  try {
    return fromBase64(text);
  } catch {
    throw new LogFormatError('TLOG_PROOF', `base64 ${quote(text)}`);
  }
}
