/** The evidence of a proof as documents: bundle, receipt, certificate. Assembled on each read, so it grows in place. */
import { createHash } from 'node:crypto';
import {
  type AnchorEntry,
  BUNDLE_TYPE,
  type Bundle,
  type BundleTimestamp,
  type Inclusion,
  type PublishedKey,
  type StoredToken,
  type TokenRenewal,
} from '../domain/bundle.ts';
import { fromBase64Url, toBase64Url, toHex, utf8 } from '../domain/bytes.ts';
import { canonicalBytes } from '../domain/canonical-json.ts';
import { CERTIFICATE_TYP } from '../domain/certificate.ts';
import type { DigestAlgorithm } from '../domain/digest.ts';
import { archiveSteps, recordOf } from '../domain/evidence-record/archive-steps.ts';
import { stepsOfTimestamp } from '../domain/evidence-record/of-timestamp.ts';
import { writeEvidenceRecord } from '../domain/evidence-record/record.ts';
import type { ProofId } from '../domain/ids.ts';
import { formatJws, jwsSigningInput } from '../domain/jws.ts';
import { formatSeal, keyReference, leafData, sealHeader } from '../domain/seal.ts';
import type { Statement } from '../domain/statement.ts';
import type { AnchorPolicy, ProofState } from '../domain/states.ts';
import { parseNote } from '../log/note.ts';
import { formatTlogProof } from '../log/tlog-proof.ts';
import { readChains } from './archive.ts';
import { readCoveringContractAnchor } from './contract-anchors.ts';
import { readInclusionPaths } from './log.read.ts';
import { asStoreError, type Queryable } from './pool.ts';
import { readPublishedKeys } from './trust.read.ts';

/** The parts as the store has them. What does not exist yet is null. */
interface Parts {
  proof_id: ProofId;
  state: ProofState;
  anchor_policy: AnchorPolicy;
  statement: string | null;
  kid: string | null;
  version: number | null;
  signature: Uint8Array | null;
  leaf_index: bigint | null;
  tsa: string | null;
  token: Uint8Array | null;
  crls: Uint8Array[] | null;
  checkpoint_size: bigint | null;
  checkpoint_note: string | null;
  anchor_entry: AnchorEntry | null;
  anchor_size: bigint | null;
  anchor_note: string | null;
  /** Compact JWS. */
  certificate: string | null;
}

/** A certificate as it is stored: the JWS without what the payload and the key say already. */
interface CertificateParts {
  certificate_payload: string | null;
  certificate_kid: string | null;
  certificate_version: number | null;
  certificate_signature: Uint8Array | null;
}

/** A proof's evidence; `bundle` is undefined until it is sealed. */
export interface Evidence {
  readonly id: ProofId;
  readonly state: ProofState;
  readonly bundle?: Bundle;
}

/** Who asks: the tenant in scope, for its own proofs; or the public, for any proof whose id it knows. */
export type Asker = 'tenant' | 'public';

/** The evidence of a proof; undefined if the asker may not know of it. Run it in a tenant's scope for `tenant`. */
export async function readEvidence(
  db: Queryable,
  origin: string,
  id: ProofId,
  asker: Asker,
): Promise<Evidence | undefined> {
  try {
    const parts = await readParts(db, id, asker);
    if (parts === undefined) return undefined;
    const bundle = await assembleBundle(db, origin, parts);
    return { id: parts.proof_id, state: parts.state, ...(bundle === undefined ? {} : { bundle }) };
  } catch (error) {
    throw asStoreError(error);
  }
}

/** The inclusion proof as C2SP tlog-proof text; undefined until the leaf is under a published checkpoint. */
export function formatReceipt({ inclusion, checkpoint }: Bundle): string | undefined {
  if (inclusion === undefined || checkpoint === undefined) return undefined;
  const path = inclusion.path.map((hash) => fromBase64Url(hash) ?? new Uint8Array(0));
  return formatTlogProof({ index: BigInt(inclusion.index), path, checkpoint });
}

/**
 * The evidence record (RFC 4998) over the body of the bundle's checkpoint, made of its own timestamp and renewals;
 * undefined until there is one.
 */
export function formatCheckpointRecord({ checkpoint, timestamps }: Bundle): Uint8Array | undefined {
  const [timestamp] = timestamps;
  if (checkpoint === undefined || timestamp === undefined) return undefined;
  return writeEvidenceRecord(recordOf(stepsOfTimestamp(utf8.encode(parseNote(checkpoint).text), timestamp)));
}

/** The evidence record over JCS of `{seal, statement}`; undefined where the tenant did not ask, or there is none yet. */
export async function readStatementRecord(db: Queryable, { statement, seal }: Bundle): Promise<Uint8Array | undefined> {
  const key = leafData(statement, seal);
  const chain = (await readChains(db, [key], { hasFirst: false })).get(toHex(key)) ?? [];
  if (chain.length === 0) return undefined;
  return writeEvidenceRecord(recordOf(archiveSteps(canonicalBytes({ seal, statement }), chain)));
}

async function readParts(db: Queryable, id: ProofId, asker: Asker): Promise<Parts | undefined> {
  const source = asker === 'tenant' ? 'read_bundle' : 'public_verify';
  const { rows } = await db.query<Omit<Parts, 'certificate'> & CertificateParts>(`SELECT * FROM ${source}($1)`, [id]);
  return rows[0] && { ...rows[0], certificate: composeCertificate(rows[0]) };
}

function composeCertificate(parts: CertificateParts): string | null {
  const { certificate_payload: payload, certificate_kid: kid, certificate_version: version } = parts;
  if (payload === null || kid === null || version === null || parts.certificate_signature === null) return null;
  const input = jwsSigningInput(CERTIFICATE_TYP, 'ES256', kid, version, utf8.encode(payload));
  return formatJws(input, parts.certificate_signature);
}

async function assembleBundle(db: Queryable, origin: string, parts: Parts): Promise<Bundle | undefined> {
  const { statement, kid, version, signature } = parts;
  if (statement === null || kid === null || version === null || signature === null) return undefined;
  const hasCheckpoint = parts.leaf_index !== null && parts.checkpoint_size !== null && parts.checkpoint_note !== null;
  const inclusion = hasCheckpoint
    ? await readInclusion(db, origin, parts.leaf_index, parts.checkpoint_size)
    : undefined;
  const anchors = await readAnchors(db, origin, parts);
  return {
    type: BUNDLE_TYPE,
    statement: JSON.parse(statement) as Statement,
    seal: formatSeal(sealHeader(kid, version), signature),
    ...(inclusion === undefined ? {} : { inclusion }),
    ...(hasCheckpoint && parts.checkpoint_note !== null ? { checkpoint: parts.checkpoint_note } : {}),
    timestamps:
      parts.tsa === null || parts.token === null
        ? []
        : [
            {
              ...describeToken(parts.tsa, parts.token, parts.crls ?? []),
              ...(await describeRenewals(db, parts.token)),
            },
          ],
    anchors: await describeAnchors(db, origin, parts, anchors),
    ...(parts.certificate === null ? {} : { certificate: parts.certificate }),
    pending: pendingParts(parts, hasCheckpoint, anchors.length > 0),
    keys: await readKeysUsed(
      db,
      parts,
      anchors.map(({ size }) => size),
      keyReference(kid, version),
    ),
  };
}

async function readInclusion(
  db: Queryable,
  origin: string,
  index: bigint | null,
  size: bigint | null,
): Promise<Inclusion | undefined> {
  if (index === null || size === null) return undefined;
  const [path = []] = await readInclusionPaths(db, [index], size);
  return { origin, index: index.toString(), size: size.toString(), path: path.map(toBase64Url) };
}

function describeToken(tsa: string, token: Uint8Array, crls: readonly Uint8Array[]): StoredToken {
  return { tsa, token: toBase64Url(token), ...(crls.length === 0 ? {} : { crls: crls.map(toBase64Url) }) };
}

/** The tokens that protect this one from the end of its certificate, if there are any. */
async function describeRenewals(db: Queryable, token: Uint8Array): Promise<Pick<BundleTimestamp, 'renewals'>> {
  const key = new Uint8Array(createHash('sha256').update(token).digest());
  const chain = (await readChains(db, [key], { hasFirst: true })).get(toHex(key)) ?? [];
  const renewals = chain.map(({ tsa, token: bytes, crls, path, hash }, i): TokenRenewal => {
    const before = chain[i - 1]?.hash ?? 'SHA-256';
    return {
      ...describeToken(tsa, bytes, crls),
      ...(path.length === 0 ? {} : { path: path.map(toBase64Url) }),
      ...(hash === before ? {} : { hash: hash.toLowerCase() as DigestAlgorithm }),
    };
  });
  return renewals.length === 0 ? {} : { renewals };
}

interface StoredAnchor {
  readonly entry: AnchorEntry;
  readonly size: bigint;
  readonly note: string;
}

/** The message on the topic, and the entry in the registry contract, as far as they cover the leaf. */
async function readAnchors(db: Queryable, origin: string, parts: Parts): Promise<readonly StoredAnchor[]> {
  const { anchor_entry: entry, anchor_size: size, anchor_note: note, leaf_index: index } = parts;
  if (index === null) return [];
  const named = certifiedAnchorTime(parts.certificate);
  const inContract = await readCoveringContractAnchor(db, { origin, index, named });
  return [
    ...(entry === null || size === null || note === null ? [] : [{ entry, size, note }]),
    ...(inContract === undefined ? [] : [inContract]),
  ];
}

/** An anchor of another checkpoint than the bundle's own brings that one, with the proof's place in it. */
function describeAnchors(
  db: Queryable,
  origin: string,
  parts: Parts,
  anchors: readonly StoredAnchor[],
): Promise<AnchorEntry[]> {
  return Promise.all(
    anchors.map(async ({ entry, size, note }) => {
      if (size === parts.checkpoint_size) return entry;
      const inclusion = await readInclusion(db, origin, parts.leaf_index, size);
      return { ...entry, checkpoint: note, ...(inclusion === undefined ? {} : { inclusion }) };
    }),
  );
}

/** The consensus time of the anchor that a certificate rests on. */
function certifiedAnchorTime(jws: string | null): string | undefined {
  const payload = fromBase64Url(jws?.split('.')[1] ?? '');
  if (jws === null || payload === undefined) return undefined;
  const { anchor } = JSON.parse(utf8.decode(payload)) as { anchor?: { consensusTimestamp?: unknown } };
  return typeof anchor?.consensusTimestamp === 'string' ? anchor.consensusTimestamp : undefined;
}

/** What is still to come. An ended proof keeps its leaf, so that its inclusion and timestamp still come. */
function pendingParts(parts: Parts, hasCheckpoint: boolean, isAnchored: boolean): Bundle['pending'] {
  const hasEnded = parts.state === 'FAILED' || parts.state === 'REJECTED' || parts.state === 'CANCELLED';
  const isToCome = {
    inclusion: !hasCheckpoint,
    timestamp: parts.token === null,
    // A certificate that states that there is no anchor is complete without one; a later one is a gift.
    anchor: !isAnchored && parts.certificate === null && parts.anchor_policy !== 'NONE' && !hasEnded,
    certificate: parts.certificate === null && !hasEnded,
  };
  return (['inclusion', 'timestamp', 'anchor', 'certificate'] as const).filter((part) => isToCome[part]);
}

/** Only the versions that this evidence uses. */
async function readKeysUsed(
  db: Queryable,
  parts: Parts,
  anchorSizes: readonly bigint[],
  sealKey: string,
): Promise<PublishedKey[]> {
  const named = new Set([`seal ${sealKey}`, `certificate ${certificateKey(parts.certificate)}`]);
  const sizes = [parts.checkpoint_size, ...anchorSizes].filter((size) => size !== null);
  const stored = await readPublishedKeys(db);
  return stored
    .filter(({ key, fromSize, toSize }) => {
      if (key.purpose !== 'log-checkpoint') return named.has(`${key.purpose} ${keyReference(key.kid, key.version)}`);
      return sizes.some((size) => size >= fromSize && (toSize === null || size <= toSize));
    })
    .map(({ key }) => key);
}

function certificateKey(jws: string | null): string {
  const header = fromBase64Url(jws?.split('.')[0] ?? '');
  if (jws === null || header === undefined) return '';
  const { kid } = JSON.parse(utf8.decode(header)) as { kid?: unknown };
  return typeof kid === 'string' ? kid : '';
}
