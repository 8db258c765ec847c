/**
 * C2SP signed-note: text signed by one or more keys, and the verifier keys that name them. Of the signature types we
 * know Ed25519 (0x01); all other signatures are ignored, as the format demands. A note holds at most 64 KiB and 100
 * signatures.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { areEqual, decodeUtf8, encodeUtf8, fromBase64, toBase64 } from './bytes.ts';
import { LogFormatError, quote } from './errors.ts';

export const MAX_NOTE_BYTES = 65_536;
const MAX_SIGNATURES = 100;
const ED25519_TYPE = 0x01;
const ED25519_KEY_BYTES = 32;
const ED25519_SIGNATURE_BYTES = 64;

export interface NoteSignature {
  readonly name: string;
  /** uint32 */
  readonly keyId: number;
  readonly signature: Uint8Array;
}

export interface Note {
  /** With its final newline. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

/** An Ed25519 verifier key. */
export interface NoteKey {
  readonly name: string;
  readonly keyId: number;
  readonly publicKey: Uint8Array;
}

/** Why a note counts for nothing. Closed. */
export type NoteFault = 'malformed' | 'no-known-key' | 'bad-signature';

export type NoteVerdict =
  | { readonly valid: true; readonly note: Note; readonly signers: readonly NoteKey[] }
  | { readonly valid: false; readonly reason: NoteFault };

/** Reads a whole note or throws NOTE. Nothing in it is trusted before verifyNote. */
export function parseNote(input: string | Uint8Array): Note {
  const message = readText(input);
  const split = message.lastIndexOf('\n\n');
  if (split < 0) throw new LogFormatError('NOTE', 'no blank line before the signatures');
  const text = message.slice(0, split + 1);
  const block = message.slice(split + 2);
  if (!block.endsWith('\n')) throw new LogFormatError('NOTE', 'no signature, or no newline after the last');
  const lines = block.slice(0, -1).split('\n');
  if (lines.length > MAX_SIGNATURES)
    throw new LogFormatError('NOTE', `${lines.length} signatures, at most ${MAX_SIGNATURES}`);
  return { text, signatures: lines.map(parseSignatureLine) };
}

/** Writes a note; throws NOTE if it could not be read again. */
export function formatNote({ text, signatures }: Note): string {
  if (!text.endsWith('\n') || text === '\n' || signatures.length === 0 || signatures.length > MAX_SIGNATURES)
    throw new LogFormatError('NOTE', `text of ${text.length} characters with ${signatures.length} signatures`);
  const lines = signatures.map(({ name, keyId, signature }) => {
    if (!isKeyName(name) || signature.length === 0) throw new LogFormatError('NOTE', `signature of ${quote(name)}`);
    return `— ${name} ${toBase64(withPrefix(uint32(keyId), signature))}\n`;
  });
  return readText(`${text}\n${lines.join('')}`);
}

/** A key name is not empty and holds no Unicode space, no `+`, no control character. */
export function isKeyName(name: string): boolean {
  return name !== '' && name.length <= 1024 && name.isWellFormed() && !/[\p{White_Space}\p{Cc}+]/u.test(name);
}

/** The key with its id, SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)[0:4]. Throws VKEY. */
export function createNoteKey(name: string, publicKey: Uint8Array): NoteKey {
  if (!isKeyName(name)) throw new LogFormatError('VKEY', `name ${quote(name)}`);
  if (publicKey.length !== ED25519_KEY_BYTES)
    throw new LogFormatError('VKEY', `key of ${publicKey.length} bytes, expected 32`);
  const id = sha256(withPrefix(encodeUtf8(`${name}\n`), withPrefix(new Uint8Array([ED25519_TYPE]), publicKey)));
  return { name, keyId: new DataView(id.buffer, id.byteOffset).getUint32(0), publicKey };
}

/** `<name>+<key id as 8 hex digits>+<base64 of type and key>`. */
export function formatVkey({ name, keyId, publicKey }: NoteKey): string {
  return `${name}+${keyId.toString(16).padStart(8, '0')}+${toBase64(withPrefix(new Uint8Array([ED25519_TYPE]), publicKey))}`;
}

/** Reads an Ed25519 verifier key; throws VKEY on any other type, length or id. */
export function parseVkey(vkey: string): NoteKey {
  const match = vkey.length > 2048 ? null : /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})$/.exec(vkey);
  if (match === null) throw new LogFormatError('VKEY', quote(vkey));
  const [, name = '', idText = '', keyText = ''] = match;
  const bytes = readBase64(keyText, 'VKEY');
  if (bytes[0] !== ED25519_TYPE) throw new LogFormatError('VKEY', `key type ${bytes[0]} of ${quote(vkey)}, expected 1`);
  const key = createNoteKey(name, bytes.slice(1));
  if (key.keyId !== Number.parseInt(idText, 16))
    throw new LogFormatError('VKEY', `key id of ${quote(vkey)}, expected ${key.keyId.toString(16).padStart(8, '0')}`);
  return key;
}

/**
 * Verifies a note under known keys and never throws. Signatures of unknown keys are ignored; one bad signature of a
 * known key condemns the note; at least one must be good.
 */
export async function verifyNote(input: string | Uint8Array, keys: readonly NoteKey[]): Promise<NoteVerdict> {
  let note: Note;
  try {
    note = parseNote(input);
  } catch {
    return { valid: false, reason: 'malformed' };
  }
  const text = encodeUtf8(note.text);
  const signers: NoteKey[] = [];
  for (const signature of note.signatures) {
    const candidates = keys.filter((key) => key.name === signature.name && key.keyId === signature.keyId);
    if (candidates.length === 0) continue;
    let good: NoteKey | undefined;
    // Two keys may collide in their short id; the signature decides which is meant.
    for (const key of candidates)
      if (good === undefined && (await verifyEd25519(key.publicKey, signature.signature, text))) good = key;
    if (good === undefined) return { valid: false, reason: 'bad-signature' };
    const known = good;
    if (!signers.some((key) => key.name === known.name && areEqual(key.publicKey, known.publicKey)))
      signers.push(known);
  }
  return signers.length > 0 ? { valid: true, note, signers } : { valid: false, reason: 'no-known-key' };
}

/** Ed25519 (RFC 8032) by WebCrypto. False on anything malformed. */
export async function verifyEd25519(
  publicKey: Uint8Array,
  signature: Uint8Array,
  message: Uint8Array,
): Promise<boolean> {
  if (publicKey.length !== ED25519_KEY_BYTES || signature.length !== ED25519_SIGNATURE_BYTES) return false;
  try {
    const key = await globalThis.crypto.subtle.importKey('raw', Uint8Array.from(publicKey), 'Ed25519', false, [
      'verify',
    ]);
    return await globalThis.crypto.subtle.verify('Ed25519', key, Uint8Array.from(signature), Uint8Array.from(message));
  } catch {
    return false;
  }
}

/** Signs `text` under each key with the function beside it, which gets the text's bytes and gives 64. Throws NOTE. */
export async function signNote(
  text: string,
  signers: readonly { readonly key: NoteKey; readonly sign: (message: Uint8Array) => Promise<Uint8Array> }[],
): Promise<string> {
  const message = encodeUtf8(text);
  const signatures: NoteSignature[] = [];
  for (const { key, sign } of signers) {
    const signature = await sign(message);
    if (signature.length !== ED25519_SIGNATURE_BYTES)
      throw new LogFormatError('NOTE', `signature of ${signature.length} bytes, expected 64`);
    signatures.push({ name: key.name, keyId: key.keyId, signature });
  }
  return formatNote({ text, signatures });
}

function parseSignatureLine(line: string): NoteSignature {
  const match = /^— (\S+) (\S+)$/u.exec(line);
  const [, name = '', encoded = ''] = match ?? [];
  if (match === null || !isKeyName(name)) throw new LogFormatError('NOTE', `signature line ${quote(line)}`);
  const bytes = readBase64(encoded, 'NOTE');
  if (bytes.length <= 4) throw new LogFormatError('NOTE', `signature of ${bytes.length} bytes by ${quote(name)}`);
  return { name, keyId: new DataView(bytes.buffer).getUint32(0), signature: bytes.slice(4) };
}

/** The input as text, checked for size, UTF-8 and control characters. */
function readText(input: string | Uint8Array): string {
  if (input.length > MAX_NOTE_BYTES)
    throw new LogFormatError('NOTE', `${input.length} bytes, at most ${MAX_NOTE_BYTES}`);
  let text: string;
  try {
    text = typeof input === 'string' ? input : decodeUtf8(input);
  } catch {
    throw new LogFormatError('NOTE', 'not UTF-8');
  }
  if (!text.isWellFormed()) throw new LogFormatError('NOTE', 'half of a surrogate pair');
  for (let i = 0; i < text.length; i++)
    if (text.charCodeAt(i) < 0x20 && text[i] !== '\n') throw new LogFormatError('NOTE', `control character at ${i}`);
  return text;
}

function readBase64(text: string, code: 'NOTE' | 'VKEY'): Uint8Array<ArrayBuffer> {
  try {
    return fromBase64(text);
  } catch {
    throw new LogFormatError(code, `base64 ${quote(text)}`);
  }
}

function uint32(value: number): Uint8Array {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, value);
  return out;
}

function withPrefix(prefix: Uint8Array, bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(prefix.length + bytes.length);
  out.set(prefix);
  out.set(bytes, prefix.length);
  return out;
}
