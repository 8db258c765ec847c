/**
 * API keys: `pl_live_` or `pl_test_`, 192 random bits in base62 (33 characters), and a CRC32 checksum in base62
 * (6 characters) over all before it, so that a typing error or a truncated key is refused without asking the store.
 * Only the SHA-256 of a key is stored.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { utf8 } from './bytes.ts';

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const SECRET_BYTES = 24;
const SECRET_LENGTH = 33;
const CHECKSUM_LENGTH = 6;
const KEY = /^pl_(?:live|test)_[0-9A-Za-z]{39}$/;

/** Writes the key of 24 random bytes. */
export function formatApiKey(mode: 'live' | 'test', random: Uint8Array): string {
  if (random.length !== SECRET_BYTES) throw new RangeError(`${random.length} random bytes, expected ${SECRET_BYTES}`);
  let value = 0n;
  for (const byte of random) value = (value << 8n) | BigInt(byte);
  const body = `pl_${mode}_${toBase62(value, SECRET_LENGTH)}`;
  return body + checksum(body);
}

/** Whether the text has the form of a key and its checksum. */
export function isApiKey(text: string): boolean {
  return KEY.test(text) && checksum(text.slice(0, -CHECKSUM_LENGTH)) === text.slice(-CHECKSUM_LENGTH);
}

/** What is stored and looked up, 32 bytes. */
export function hashApiKey(key: string): Uint8Array {
  return sha256(utf8.encode(key));
}

/** What may be shown of a key: enough to recognise it, too little to use it. */
export function apiKeyPrefix(key: string): string {
  return key.slice(0, 'pl_live_'.length + 4);
}

function checksum(body: string): string {
  return toBase62(BigInt(crc32(utf8.encode(body))), CHECKSUM_LENGTH);
}

function toBase62(value: bigint, length: number): string {
  let rest = value;
  let out = '';
  for (let i = 0; i < length; i++) {
    out = ALPHABET[Number(rest % 62n)] + out;
    rest /= 62n;
  }
  return out;
}

/** CRC-32 as in ISO/IEC 3309 (reflected 0x04C11DB7). */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
