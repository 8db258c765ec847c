/**
 * Evidence records (RFC 4998 §3, §5; IMPLICIT tags, DER), written and read strictly. A record is chains in the order of
 * their hash functions, a chain archive timestamps in the order of their times. What has attributes, encryption or
 * crypto infos of others is refused, since nothing here would judge it.
 */
import {
  constructed,
  context,
  DerFault,
  DerReader,
  der,
  derNull,
  derOctets,
  derOid,
  derSequence,
  derSmall,
  openWhole,
  readSmall,
  TAG,
} from '../timestamp/der.ts';
import { HASHES, type HashName, readAlgorithm } from '../timestamp/hashes.ts';

/** There is no media type in RFC 4998; the usual name of a file ends in `.ers`. */
export const EVIDENCE_RECORD_MEDIA_TYPE = 'application/octet-stream';
/** Longest record that is read, in bytes. */
export const MAX_EVIDENCE_RECORD = 1_048_576;

export interface ArchiveTimeStamp {
  /** Of the tree and of the token's imprint. */
  readonly hash: HashName;
  /** Lists of hashes from the leaf's own up; none where the token is over the object alone. */
  readonly reducedHashtree: readonly (readonly Uint8Array[])[];
  /** DER of the TimeStampToken. */
  readonly token: Uint8Array;
}

export type ArchiveTimeStampChain = readonly ArchiveTimeStamp[];

export interface EvidenceRecord {
  readonly chains: readonly ArchiveTimeStampChain[];
}

const MAX_CHAINS = 8;
const MAX_IN_CHAIN = 64;
const MAX_LISTS = 64;
const MAX_IN_LIST = 1_024;

// NULL where RFC 5754 §2 would leave it out: tokens have it in their imprints, and validators compare the two.
const algorithm = (hash: HashName): readonly Uint8Array[] => [derOid(HASHES[hash].oid), derNull()];

/** DER of an EvidenceRecord. Every chain and the record have at least one member. */
export function writeEvidenceRecord({ chains }: EvidenceRecord): Uint8Array {
  const hashes = [...new Set(chains.flat().map(({ hash }) => hash))];
  return derSequence(
    derSmall(1),
    derSequence(...hashes.map((hash) => derSequence(...algorithm(hash)))),
    writeSequence(chains),
  );
}

/** DER of an ArchiveTimeStampSequence: what the hash of a further chain covers (RFC 4998 §5.2). */
export function writeSequence(chains: readonly ArchiveTimeStampChain[]): Uint8Array {
  return derSequence(...chains.map((chain) => derSequence(...chain.map(writeTimeStamp))));
}

function writeTimeStamp({ hash, reducedHashtree, token }: ArchiveTimeStamp): Uint8Array {
  const tree = reducedHashtree.map((list) => derSequence(...list.map(derOctets)));
  return derSequence(
    der(constructed(0), ...algorithm(hash)),
    ...(tree.length === 0 ? [] : [der(constructed(2), ...tree)]),
    token,
  );
}

/** The form of a leaf with its path: the two lowest hashes together, then one for each level. */
export function reduceHashtree(leaf: Uint8Array, path: readonly Uint8Array[]): readonly (readonly Uint8Array[])[] {
  const [first, ...rest] = path;
  return first === undefined ? [] : [[leaf, first], ...rest.map((one) => [one])];
}

/** Reads a record to its last byte. Throws DerFault. */
export function readEvidenceRecord(bytes: Uint8Array): EvidenceRecord {
  if (bytes.length > MAX_EVIDENCE_RECORD)
    throw new DerFault('MALFORMED', `${bytes.length} bytes; at most ${MAX_EVIDENCE_RECORD}`);
  const reader = openWhole(bytes, TAG.sequence, 'EvidenceRecord');
  if (readSmall(reader.next(TAG.integer), 'version') !== 1)
    throw new DerFault('MALFORMED', 'EvidenceRecord: version 1 expected');
  const named = reader
    .enter(TAG.sequence, 'digestAlgorithms')
    .rest(MAX_CHAINS, TAG.sequence)
    .map((tlv) => readAlgorithm(tlv, 'digestAlgorithms').hash);
  const chains = reader
    .enter(TAG.sequence, 'archiveTimeStampSequence')
    .rest(MAX_CHAINS, TAG.sequence)
    .map((tlv) =>
      new DerReader(tlv.content, 'archiveTimeStampChain')
        .rest(MAX_IN_CHAIN, TAG.sequence)
        .map((one) => readTimeStamp(one.content)),
    );
  reader.end();
  if (chains.length === 0 || chains.some((chain) => chain.length === 0))
    throw new DerFault('MALFORMED', 'EvidenceRecord: an empty sequence');
  // RFC 4998 §3.1: every hash function that is used is named.
  if (chains.flat().some(({ hash }) => !named.includes(hash)))
    throw new DerFault('MALFORMED', 'EvidenceRecord: a hash function that digestAlgorithms does not name');
  return { chains };
}

function readTimeStamp(content: Uint8Array): ArchiveTimeStamp {
  const reader = new DerReader(content, 'ArchiveTimeStamp');
  const given = reader.optional(constructed(0));
  if (reader.at(constructed(1)) || reader.at(context(1)))
    throw new DerFault('MALFORMED', 'ArchiveTimeStamp: attributes are not understood');
  const tree = reader.optional(constructed(2));
  const token = reader.next(TAG.sequence).raw;
  reader.end();
  const hash = given && readAlgorithm({ ...given, tag: TAG.sequence }, 'digestAlgorithm').hash;
  // Left out, it is that of the token (§4.1); ours and those of the common tools are never left out.
  if (hash === undefined) throw new DerFault('MALFORMED', 'ArchiveTimeStamp: SHA-2 as digestAlgorithm is expected');
  const { bytes } = HASHES[hash];
  const lists =
    tree === undefined
      ? []
      : new DerReader(tree.content, 'reducedHashtree')
          .rest(MAX_LISTS, TAG.sequence)
          .map((list) =>
            new DerReader(list.content, 'PartialHashtree').rest(MAX_IN_LIST, TAG.octetString).map((one) => one.content),
          );
  if (tree !== undefined && (lists.length === 0 || lists.some((list) => list.length === 0)))
    throw new DerFault('MALFORMED', 'reducedHashtree: an empty list');
  if (lists.flat().some((one) => one.length !== bytes))
    throw new DerFault('MALFORMED', `reducedHashtree: hashes of ${bytes} bytes are expected`);
  return { hash, reducedHashtree: lists, token };
}
