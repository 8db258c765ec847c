/**
 * Judges an evidence record over one data object (RFC 4998 §4.3, §5.3): the data is in the first tree of every chain, each
 * token but the last was renewed while its authority's certificate was in force, each verifies at its own time.
 */
import { concatBytes, equalBytes, toHex } from '../bytes.ts';
import { toMicros } from '../clock.ts';
import { parseInstant } from '../time.ts';
import type { VerificationCache } from '../timestamp/cache.ts';
import { DerFault } from '../timestamp/der.ts';
import { HASHES, type HashName } from '../timestamp/hashes.ts';
import { verifyTimestampToken } from '../timestamp/verify-token.ts';
import { hashNode } from './hash-tree.ts';
import { type ArchiveTimeStamp, type ArchiveTimeStampChain, readEvidenceRecord, writeSequence } from './record.ts';

export interface RecordTrust {
  /** The data object. */
  readonly data: Uint8Array;
  /** Trusted roots of authorities, PEM or DER. */
  readonly roots: readonly (string | Uint8Array)[];
  /** Allowed policies; left out, any. */
  readonly policies?: readonly string[];
  /** Revocation lists, PEM or DER: a record carries none. */
  readonly crls?: readonly (string | Uint8Array)[];
  /** The reader's clock, microseconds since the epoch. */
  readonly nowMicros: bigint;
  readonly cache?: VerificationCache;
}

export type RecordVerdict =
  | {
      /** `expired`: good in its time, and the certificate of the last token has ended since. */
      readonly verdict: 'valid' | 'expired';
      /** Time of the first token: the data existed by then. RFC 3339 UTC with six fraction digits. */
      readonly time: string;
      /** Until when the last token protects it. */
      readonly protectedUntil: string;
      readonly timestamps: number;
      /** `good` when every chain is covered by a list in force at its time. */
      readonly revocation: 'good' | 'unverified';
    }
  | { readonly verdict: 'invalid'; readonly reason: string };

const SECOND = 1_000_000n;

/** Never throws on any bytes. */
export async function verifyEvidenceRecord(bytes: Uint8Array, trust: RecordTrust): Promise<RecordVerdict> {
  let chains: readonly ArchiveTimeStampChain[];
  try {
    ({ chains } = readEvidenceRecord(bytes));
  } catch (error) {
    if (!(error instanceof DerFault)) throw error;
    return invalid(error.message);
  }
  let time: string | undefined;
  let before: { readonly genMicros: bigint; readonly endsMicros: bigint } | undefined;
  let isGood = true;
  for (const [c, chain] of chains.entries()) {
    const hash = (chain[0] as ArchiveTimeStamp).hash;
    for (const [t, stamp] of chain.entries()) {
      const name = `timestamp ${t + 1} of chain ${c + 1}`;
      if (stamp.hash !== hash) return invalid(`${name}: another hash function within a chain`);
      const previous = chain[t - 1];
      const leaf =
        previous === undefined ? firstLeaf(trust.data, chains.slice(0, c), hash) : HASHES[hash].hash(previous.token);
      const imprint = imprintOf(stamp, leaf);
      if (imprint === undefined) return invalid(`${name}: ${toHex(leaf)} is not in its tree`);
      const verdict = await verifyTimestampToken(stamp.token, {
        imprint,
        roots: trust.roots,
        crls: trust.crls ?? [],
        ...(trust.policies === undefined ? {} : { policies: trust.policies }),
        ...(trust.cache === undefined ? {} : { cache: trust.cache }),
      });
      if (!verdict.ok)
        return invalid(
          `${name}: ${verdict.failures.map(({ point, code, detail }) => `point ${point} ${code}: ${detail}`).join('; ')}`,
        );
      const genMicros = parseInstant(verdict.genTimeMicros) ?? 0n;
      // notAfter is inclusive to the second.
      const endsMicros = (parseInstant(verdict.certificateNotAfter) ?? 0n) + SECOND;
      if (before !== undefined && (genMicros < before.genMicros || genMicros >= before.endsMicros))
        return invalid(`${name}: outside the life of what it renews`);
      before = { genMicros, endsMicros };
      time ??= verdict.genTimeMicros;
      isGood &&= verdict.revocation === 'good';
    }
  }
  if (before === undefined || time === undefined) return invalid('no timestamp');
  return {
    verdict: trust.nowMicros < before.endsMicros ? 'valid' : 'expired',
    time,
    protectedUntil: toMicros(before.endsMicros),
    timestamps: chains.flat().length,
    revocation: isGood ? 'good' : 'unverified',
  };
}

const invalid = (reason: string): RecordVerdict => ({ verdict: 'invalid', reason: reason.slice(0, 600) });

function firstLeaf(data: Uint8Array, earlier: readonly ArchiveTimeStampChain[], hash: HashName): Uint8Array {
  const digest = HASHES[hash].hash;
  return earlier.length === 0 ? digest(data) : digest(concatBytes(digest(data), digest(writeSequence(earlier))));
}

/** The root of the reduced tree, if its first list holds the leaf; without a tree the leaf itself. */
function imprintOf({ reducedHashtree, hash }: ArchiveTimeStamp, leaf: Uint8Array): Uint8Array | undefined {
  const [first, ...rest] = reducedHashtree;
  if (first === undefined) return leaf;
  if (!first.some((one) => equalBytes(one, leaf))) return undefined;
  return rest.reduce((node, list) => hashNode([node, ...list], hash), hashNode(first, hash));
}
