/** The hash functions that a token may use: SHA-2 from 256 bits up. Anything else is refused by being absent here. */
import { sha256, sha384, sha512 } from '@noble/hashes/sha2.js';
import { DerFault, DerReader, readOid, TAG, type Tlv } from './der.ts';
import { OID } from './oids.ts';

export type HashName = 'SHA-256' | 'SHA-384' | 'SHA-512';

export const HASHES: Record<
  HashName,
  { readonly oid: string; readonly bytes: number; readonly hash: (message: Uint8Array) => Uint8Array }
> = {
  'SHA-256': { oid: OID.sha256, bytes: 32, hash: (message) => sha256(message) },
  'SHA-384': { oid: OID.sha384, bytes: 48, hash: (message) => sha384(message) },
  'SHA-512': { oid: OID.sha512, bytes: 64, hash: (message) => sha512(message) },
};

const NAMES = Object.keys(HASHES) as HashName[];

export const hashOfOid = (oid: string): HashName | undefined => NAMES.find((name) => HASHES[name].oid === oid);
export const hashOfLength = (bytes: number): HashName | undefined => NAMES.find((name) => HASHES[name].bytes === bytes);

/** AlgorithmIdentifier (RFC 5280 §4.1.1.2). `params` is undefined when absent; `isNull` when NULL. */
export interface Algorithm {
  readonly oid: string;
  readonly params: Tlv | undefined;
  readonly isNull: boolean;
  /** Set when it names a hash of ours with absent or NULL parameters (RFC 5754 §2). */
  readonly hash: HashName | undefined;
}

export function readAlgorithm(tlv: Tlv, what: string): Algorithm {
  const reader = new DerReader(tlv.content, `${what} algorithm`);
  const oid = readOid(reader.next(TAG.oid), what);
  const params = reader.done ? undefined : reader.next();
  reader.end();
  if (params?.tag === TAG.null && params.content.length > 0)
    throw new DerFault('MALFORMED', `${what}: NULL with content`);
  const isNull = params?.tag === TAG.null;
  return { oid, params, isNull, hash: params === undefined || isNull ? hashOfOid(oid) : undefined };
}
