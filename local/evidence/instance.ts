/**
 * A whole instance in memory, written from the formats of `domain/` and `log/`: it seals, logs, stamps, anchors and
 * certifies, so that the verifier has complete evidence to judge. Times are fixed.
 */
import { createHash } from 'node:crypto';
import type {
  AnchorEntry,
  Bundle,
  BundleTimestamp,
  HcsAnchorEntry,
  Inclusion,
  PublishedKey,
} from '../../domain/bundle.ts';
import { fromBase64Url, toBase64Url, toHex, utf8 } from '../../domain/bytes.ts';
import { canonicalBytes } from '../../domain/canonical-json.ts';
import { CERTIFICATE_TYP, type CertificatePayload, NO_ANCHOR_WORDS, nameAnchor } from '../../domain/certificate.ts';
import type { Digest } from '../../domain/digest.ts';
import type { ProofId, TenantId } from '../../domain/ids.ts';
import { formatJws, jwsBytes, jwsSigningInput } from '../../domain/jws.ts';
import { buildAnchorMessage } from '../../domain/ledger/anchor-message.ts';
import { parseEntityId, parseLedgerTime } from '../../domain/ledger/entity-id.ts';
import { runningHashV3 } from '../../domain/ledger/running-hash.ts';
import { formatSeal, leafData, sealHeader, sealSigningInput } from '../../domain/seal.ts';
import type { Statement } from '../../domain/statement.ts';
import type { TrustDocument } from '../../domain/trust.ts';
import { formatCheckpointBody, parseCheckpointBody } from '../../log/checkpoint.ts';
import { createNoteKey, formatVkey, parseNote, signNote } from '../../log/note.ts';
import { createNodeReader, hashLeaf, makeInclusionPath, rootOfLeaves } from '../../log/tree.ts';
import { type EvidenceAuthority, makeAuthority, POLICY } from './authority.ts';
import { ed25519, p256, publish, type TestKey } from './keys.ts';

export const GEN_TIME = '2026-11-23T08:00:01.500000Z';
export const TENANT = '7d1f1a52-57c4-4b5a-9a52-0a1f6d3c0001' as TenantId;
const NETWORK = 'simulator';
const TOPIC = '0.0.1002';
const PAYER = '0.0.1001';

export interface Instance {
  readonly origin: string;
  readonly seal: TestKey;
  readonly certificate: TestKey;
  readonly log: TestKey;
  readonly authority: EvidenceAuthority;
  readonly trust: TrustDocument;
}

export async function createInstance(name: string): Promise<Instance> {
  const origin = `log.${name}.example/proofline`;
  const seal = p256('seal', 1, `${name} seal`);
  const certificate = p256('certificate', 1, `${name} certificate`);
  const log = ed25519('log', 1, `${name} log`);
  const authority = await makeAuthority(`${name} timestamps`);
  const trust: TrustDocument = {
    instance: name,
    origin,
    vkeys: [{ vkey: vkeyOf(origin, log), fromSize: '0' }],
    jwks: { keys: [publish(seal, 'seal'), publish(certificate, 'certificate'), publish(log, 'log-checkpoint')] },
    roots: { signing: [], tsa: [authority.rootPem] },
    tsas: [{ name: authority.name, url: 'https://tsa.example/', policies: [POLICY], selfOperated: false }],
    ledgers: [{ kind: 'hedera-hcs/v1', network: NETWORK, topicId: TOPIC, submitKey: '' }],
    log: 'https://log.example/log',
    verifier: { source: 'https://example.org/proofline' },
  };
  return { origin, seal, certificate, log, authority, trust };
}

export function vkeyOf(origin: string, log: TestKey): string {
  return formatVkey(createNoteKey(origin, fromBase64Url(log.jwk.x ?? '') as Uint8Array));
}

export function digestOf(content: string): Digest {
  return { alg: 'sha-256', value: createHash('sha256').update(content).digest('hex') };
}

export interface Sealed {
  readonly statement: Statement;
  readonly seal: string;
  readonly leaf: Uint8Array;
}

/** Proof number `n`: its id and salt follow from the number. `committed`: salted digests of reference and metadata. */
export function sealProof(
  instance: Instance,
  n: number,
  digest: Digest,
  key = instance.seal,
  committed: Pick<Statement, 'referenceDigest' | 'metadataDigest'> = {},
): Sealed {
  const salt = createHash('sha256').update(`salt ${instance.origin} ${n}`).digest().subarray(0, 16);
  const statement: Statement = {
    type: 'proofline/statement/v1',
    proof: `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}` as ProofId,
    tenant: TENANT,
    digest,
    ...committed,
    receivedAt: '2026-11-23T08:00:00.000123Z',
    salt: toBase64Url(salt),
    key: { kid: key.kid, version: key.version },
  };
  const header = sealHeader(key.kid, key.version);
  const seal = formatSeal(header, key.sign(sealSigningInput(header, canonicalBytes(statement))));
  return { statement, seal, leaf: leafData(statement, seal) };
}

export interface LogState {
  readonly note: string;
  readonly body: string;
  readonly inclusionOf: (index: number) => Inclusion;
}

/** The checkpoint of a tree of these leaves, signed by every log key given. */
export async function checkpointOf(
  instance: Instance,
  leaves: readonly Uint8Array[],
  keys = [instance.log],
): Promise<LogState> {
  const { origin } = instance;
  const hashes = leaves.map(hashLeaf);
  const size = BigInt(leaves.length);
  const body = formatCheckpointBody({ origin, size, root: rootOfLeaves(hashes) });
  const signers = keys.map((key) => ({
    key: createNoteKey(origin, fromBase64Url(key.jwk.x ?? '') as Uint8Array),
    sign: async (message: Uint8Array) => key.sign(message),
  }));
  const read = createNodeReader(hashes);
  return {
    note: await signNote(body, signers),
    body,
    inclusionOf: (index) => ({
      origin,
      index: String(index),
      size: size.toString(),
      path: makeInclusionPath(BigInt(index), size, read).map(toBase64Url),
    }),
  };
}

export function stamp(
  instance: Instance,
  body: string,
  genTime = GEN_TIME,
  authority = instance.authority,
): Promise<BundleTimestamp> {
  return authority.stamp(new Uint8Array(createHash('sha256').update(body).digest()), genTime);
}

export function anchorOf(
  note: string,
  sequence: number,
  place: { readonly topicId?: string; readonly consensusTimestamp?: string } = {},
): HcsAnchorEntry {
  const { topicId = TOPIC, consensusTimestamp = `${1795420800 + sequence}.000000042` } = place;
  const message = buildAnchorMessage(parseCheckpointBody(parseNote(note).text));
  const prev = createHash('sha384')
    .update(`message ${sequence - 1}`)
    .digest();
  const hash = runningHashV3({
    prevRunningHash: new Uint8Array(prev),
    payer: parseEntityId(PAYER) as never,
    topicId: parseEntityId(topicId) as never,
    consensusTimestamp: parseLedgerTime(consensusTimestamp) as never,
    sequenceNumber: BigInt(sequence),
    message: utf8.encode(message),
  });
  return {
    ledger: 'hedera-hcs/v1',
    network: NETWORK,
    topicId,
    sequenceNumber: String(sequence),
    consensusTimestamp,
    transactionId: `${PAYER}@${consensusTimestamp.slice(0, 10)}.000000001`,
    payer: PAYER,
    message,
    prevRunningHash: toBase64Url(prev),
    runningHash: toBase64Url(hash),
  };
}

/** The payload that the instance would certify for this evidence. */
export function payloadOf(bundle: Bundle, anchor: AnchorEntry | undefined, time = GEN_TIME): CertificatePayload {
  const { statement, seal, inclusion, checkpoint = '', timestamps } = bundle;
  const [stamped] = timestamps;
  if (inclusion === undefined || stamped === undefined) throw new Error('there is nothing to certify');
  const { size, root } = parseCheckpointBody(parseNote(checkpoint).text);
  const id = statement.proof;
  return {
    type: 'proofline/certificate/v1',
    number: `PL-2026-${id.slice(-6)}`,
    tenant: statement.tenant,
    proof: id,
    digest: statement.digest,
    leaf: toHex(leafData(statement, seal)),
    log: { origin: inclusion.origin, index: inclusion.index, size: size.toString(), root: toBase64Url(root) },
    timestamp: {
      tsa: stamped.tsa,
      tokenSha256: createHash('sha256')
        .update(fromBase64Url(stamped.token) as Uint8Array)
        .digest('hex'),
      time,
    },
    anchorPolicy: anchor === undefined ? 'NONE' : 'REQUIRED',
    anchor: anchor === undefined ? { none: NO_ANCHOR_WORDS } : nameAnchor(anchor),
    licence: { grant: 'grant-2026-1' },
    issuedAt: '2026-11-23T08:00:06.000000Z',
    links: {
      proof: `https://api.example/v1/proofs/${id}`,
      bundle: `https://api.example/v1/proofs/${id}/bundle`,
      verify: `https://api.example/v1/verify/${id}`,
    },
  };
}

export function certify(key: TestKey, payload: CertificatePayload | Record<string, unknown>): string {
  const input = jwsSigningInput(CERTIFICATE_TYP, 'ES256', key.kid, key.version, canonicalBytes(payload));
  return formatJws(input, key.sign(jwsBytes(input)));
}

export interface BundleParts {
  readonly sealed: Sealed;
  readonly index: number;
  readonly log: LogState;
  readonly timestamps: readonly BundleTimestamp[];
  readonly anchors: readonly AnchorEntry[];
  readonly keys?: readonly PublishedKey[];
}

/** A certified bundle; the certificate rests on the first anchor, or on none. */
export function assemble(instance: Instance, parts: BundleParts): Bundle {
  const { sealed, index, log, timestamps, anchors, keys = instance.trust.jwks.keys } = parts;
  const bundle: Bundle = {
    type: 'proofline/bundle/v1',
    statement: sealed.statement,
    seal: sealed.seal,
    inclusion: log.inclusionOf(index),
    checkpoint: log.note,
    timestamps,
    anchors,
    pending: [],
    keys,
  };
  return { ...bundle, certificate: certify(instance.certificate, payloadOf(bundle, anchors[0])) };
}
