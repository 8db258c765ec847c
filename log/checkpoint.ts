/** C2SP tlog-checkpoint: the note text that states a log's size and root, and its verification. */
import { fromBase64, parseDecimal, toBase64 } from './bytes.ts';
import { LogFormatError, quote } from './errors.ts';
import { type NoteFault, type NoteKey, verifyNote } from './note.ts';
import { HASH_BYTES } from './tree.ts';

export interface Checkpoint {
  readonly origin: string;
  readonly size: bigint;
  readonly root: Uint8Array;
  /** Opaque lines after the root; ours have none. */
  readonly extensions: readonly string[];
}

export type CheckpointVerdict =
  | {
      readonly valid: true;
      readonly checkpoint: Checkpoint /** The signed bytes as text. */;
      readonly body: string;
      readonly signers: readonly NoteKey[];
    }
  | { readonly valid: false; readonly reason: NoteFault | 'wrong-origin' };

/** The text that a log signs: origin, size, root and extension lines, each with its newline. Throws CHECKPOINT. */
export function formatCheckpointBody({
  origin,
  size,
  root,
  extensions = [],
}: Omit<Checkpoint, 'extensions'> & { readonly extensions?: readonly string[] }): string {
  if (size < 0n || size >= 1n << 63n) throw new LogFormatError('CHECKPOINT', `size ${size}`);
  if (root.length !== HASH_BYTES) throw new LogFormatError('CHECKPOINT', `root of ${root.length} bytes, expected 32`);
  for (const line of [origin, ...extensions])
    if (!isLine(line)) throw new LogFormatError('CHECKPOINT', `line ${quote(line)}`);
  return `${[origin, size.toString(), toBase64(root), ...extensions].join('\n')}\n`;
}

/** Reads all of a checkpoint's note text or throws CHECKPOINT. */
export function parseCheckpointBody(text: string): Checkpoint {
  if (!text.endsWith('\n')) throw new LogFormatError('CHECKPOINT', 'no newline at the end');
  const [origin = '', sizeText = '', rootText = '', ...extensions] = text.slice(0, -1).split('\n');
  for (const line of [origin, ...extensions])
    if (!isLine(line)) throw new LogFormatError('CHECKPOINT', `line ${quote(line)}`);
  const size = parseDecimal(sizeText);
  if (size === undefined) throw new LogFormatError('CHECKPOINT', `size ${quote(sizeText)}`);
  const root = rootText.length === 44 ? decodeRoot(rootText) : undefined;
  if (root === undefined) throw new LogFormatError('CHECKPOINT', `root ${quote(rootText)}`);
  return { origin, size, root, extensions };
}

/** Verifies a checkpoint note under the log's keys and its origin. Never throws. */
export async function verifyCheckpoint(
  note: string | Uint8Array,
  keys: readonly NoteKey[],
  origin: string,
): Promise<CheckpointVerdict> {
  const verdict = await verifyNote(note, keys);
  if (!verdict.valid) return verdict;
  let checkpoint: Checkpoint;
  try {
    checkpoint = parseCheckpointBody(verdict.note.text);
  } catch {
    return { valid: false, reason: 'malformed' };
  }
  if (checkpoint.origin !== origin) return { valid: false, reason: 'wrong-origin' };
  return { valid: true, checkpoint, body: verdict.note.text, signers: verdict.signers };
}

function decodeRoot(text: string): Uint8Array | undefined {
  try {
    const root = fromBase64(text);
    return root.length === HASH_BYTES ? root : undefined;
  } catch {
    return undefined;
  }
}

/** Not empty, well-formed, and without what a note may not hold. */
function isLine(line: string): boolean {
  if (line === '' || !line.isWellFormed()) return false;
  for (let i = 0; i < line.length; i++) if (line.charCodeAt(i) < 0x20) return false;
  return true;
}
