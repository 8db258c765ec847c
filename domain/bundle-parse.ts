/**
 * Reads a bundle strictly: the JSON by `parseStrictJson`, then every member against its form. Bounds: 1 MiB of text,
 * 64 hashes in a path, 16 timestamps, 16 anchors, 16 keys. What is read has one spelling; it is not yet verified.
 */
import {
  type AnchorEntry,
  BUNDLE_TYPE,
  type Bundle,
  type BundleTimestamp,
  type ContractAnchorEntry,
  type HcsAnchorEntry,
  type Inclusion,
  type PublishedKey,
} from './bundle.ts';
import { fromBase64Url, fromHex } from './bytes.ts';
import { DIGEST_HEX_LENGTH, type Digest, type DigestAlgorithm, isDigestAlgorithm } from './digest.ts';
import { ProoflineError } from './errors.ts';
import { isUuid, type ProofId, type TenantId } from './ids.ts';
import { parseEntityId, parseLedgerTime, parseTransactionId } from './ledger/entity-id.ts';
import { byMember, list, object, oneOf, positive, type Read, ShapeFault, text } from './shape.ts';
import { SALT_LENGTH, STATEMENT_TYPE, type Statement } from './statement.ts';
import { parseStrictJson } from './strict-json.ts';
import { parseInstant } from './time.ts';

export const BUNDLE_MAX_LENGTH = 1_048_576;
const MAX_PATH = 64;
const MAX_EVIDENCE = 16;
const MAX_CRLS = 8;
const MAX_SIZE = 1n << 63n;

/**
 * The bundle in a JSON text. Throws BUNDLE_MALFORMED, whose detail begins with the path of the hostile value and
 * whose `extra.path` is that path, or the codes of `parseStrictJson`.
 */
export function parseBundle(source: string): Bundle {
  if (source.length > BUNDLE_MAX_LENGTH)
    throw new ProoflineError('BUNDLE_MALFORMED', `${source.length} characters, at most ${BUNDLE_MAX_LENGTH}`, {
      extra: { path: '$' },
    });
  return readBundle(parseStrictJson(source));
}

/** The same of a value that a strict parser already read. Throws BUNDLE_MALFORMED. */
export function readBundle(value: unknown): Bundle {
  try {
    const bundle = bundleShape(value, '$');
    if ((bundle.inclusion === undefined) !== (bundle.checkpoint === undefined))
      throw new ShapeFault('$.inclusion', 'inclusion and checkpoint stand together or not at all');
    if (new Set(bundle.pending).size !== bundle.pending.length)
      throw new ShapeFault('$.pending', 'each stage stands once');
    if (new Set(bundle.keys.map((key) => `${key.purpose} ${key.kid}@${key.version}`)).size !== bundle.keys.length)
      throw new ShapeFault('$.keys', 'each version stands once');
    return bundle;
  } catch (fault) {
    if (!(fault instanceof ShapeFault)) throw fault;
    throw new ProoflineError('BUNDLE_MALFORMED', fault.message.slice(0, 300), {
      cause: fault,
      extra: { path: fault.path.slice(0, 200) },
    });
  }
}

/** Canonical base64url of `bytes`: one length, or a smallest and a largest. */
export function base64url(min: number, max = min): Read<string> {
  return text(
    `canonical base64url of ${min === max ? min : `${min} to ${max}`} bytes`,
    Math.ceil((max * 4) / 3),
    (value) => {
      const length = fromBase64Url(value)?.length;
      return length !== undefined && length >= min && length <= max;
    },
  );
}

export function hex(bytes: number): Read<string> {
  return text(
    `lower-case hex of ${bytes} bytes`,
    2 * bytes,
    (value) => value.length === 2 * bytes && fromHex(value) !== undefined,
  );
}

/** A decimal below 2^63 without sign or leading zeros. */
export const decimal: Read<string> = text(
  'a decimal below 2^63',
  19,
  (value) => /^(?:0|[1-9][0-9]*)$/.test(value) && BigInt(value) < MAX_SIZE,
);

export const instant: Read<string> = text(
  'an RFC 3339 instant in UTC',
  32,
  (value) => parseInstant(value) !== undefined,
);
export const originName: Read<string> = text(
  'the name of a log',
  255,
  (value) => /^[^\s+\p{Cc}]+$/u.test(value) && value.isWellFormed(),
);
/** One printable ASCII line, for names and ids that others give. */
export const line = (max: number): Read<string> => text('printable ASCII', max, /^[\x20-\x7e]+$/);
export const network: Read<string> = text('the name of a network', 32, /^[a-z][a-z0-9-]*$/);
export const topic: Read<string> = text('shard.realm.num', 60, (value) => parseEntityId(value) !== undefined);
export const ledgerTime: Read<string> = text('seconds.nnnnnnnnn', 30, (value) => parseLedgerTime(value) !== undefined);
export const sequence: Read<string> = text(
  'a decimal from 1 to 2^53 - 1',
  16,
  (value) => /^[1-9][0-9]*$/.test(value) && Number.isSafeInteger(Number(value)),
);
const uuid = text('a lower-case UUID', 36, isUuid);
export const proofId = uuid as Read<ProofId>;
export const tenantId = uuid as Read<TenantId>;
const kid = text('a key id', 128, /^[A-Za-z0-9][A-Za-z0-9._:/-]*$/);

const digestOf = (alg: DigestAlgorithm): Read<Digest> =>
  object({ alg: oneOf(alg), value: hex(DIGEST_HEX_LENGTH[alg] / 2) });
const digestShapes: Record<DigestAlgorithm, Read<Digest>> = {
  'sha-256': digestOf('sha-256'),
  'sha-384': digestOf('sha-384'),
  'sha-512': digestOf('sha-512'),
};

export const digest: Read<Digest> = (value, path) => {
  const alg = (value as { readonly alg?: unknown } | null | undefined)?.alg;
  if (!isDigestAlgorithm(alg)) throw new ShapeFault(`${path}.alg`, 'sha-256, sha-384 or sha-512 is expected');
  return digestShapes[alg](value, path);
};

/** Base64url parts between dots, each canonical; a detached JWS has an empty one in the middle. */
function jws(max: number, isDetached: boolean): Read<string> {
  return text(isDetached ? 'header..signature' : 'header.payload.signature', max, (value) => {
    const parts = value.split('.');
    return (
      parts.length === 3 &&
      parts.every((part, i) => (part === '') === (isDetached && i === 1) && fromBase64Url(part) !== undefined)
    );
  });
}

export const statementShape: Read<Statement> = object(
  {
    type: oneOf(STATEMENT_TYPE),
    proof: proofId,
    tenant: tenantId,
    digest,
    receivedAt: text(
      'an RFC 3339 instant in UTC with six fraction digits',
      27,
      (value) => value.length === 27 && parseInstant(value) !== undefined,
    ),
    salt: base64url(SALT_LENGTH),
    key: object({ kid, version: positive }),
  },
  { referenceDigest: hex(32), metadataDigest: hex(32) },
);

const inclusionShape: Read<Inclusion> = object({
  origin: originName,
  index: decimal,
  size: decimal,
  path: list(base64url(32), MAX_PATH),
});

const note = text('a signed note', 65_536, (value) => value.includes('\n\n') && value.isWellFormed());

const timestampShape: Read<BundleTimestamp> = object(
  { tsa: line(255), token: base64url(1, 65_536) },
  {
    crls: list(base64url(1, BUNDLE_MAX_LENGTH), MAX_CRLS, 1),
    renewals: list(
      object(
        { tsa: line(255), token: base64url(1, 65_536) },
        {
          crls: list(base64url(1, BUNDLE_MAX_LENGTH), MAX_CRLS, 1),
          path: list(base64url(32, 64), MAX_PATH, 1),
          hash: oneOf('sha-256', 'sha-384', 'sha-512'),
        },
      ),
      MAX_EVIDENCE,
      1,
    ),
  },
);

const anchorParts = {
  network,
  consensusTimestamp: ledgerTime,
  transactionId: text('payer@seconds.nnnnnnnnn', 100, (value) => parseTransactionId(value) !== undefined),
  payer: topic,
  message: line(100),
};
const anchorExtras = { checkpoint: note, inclusion: inclusionShape };

const hcsAnchorShape: Read<HcsAnchorEntry> = object(
  {
    ledger: oneOf('hedera-hcs/v1'),
    ...anchorParts,
    topicId: topic,
    sequenceNumber: sequence,
    prevRunningHash: base64url(48),
    runningHash: base64url(48),
  },
  anchorExtras,
);

const contractAnchorShape: Read<ContractAnchorEntry> = object(
  {
    ledger: oneOf('hedera-contract/v1'),
    ...anchorParts,
    contractId: topic,
    publisher: text('0x and 40 lower-case hex digits', 42, /^0x[0-9a-f]{40}$/),
  },
  anchorExtras,
);

const anchorShape: Read<AnchorEntry> = byMember<AnchorEntry>(
  'ledger',
  (ledger) => ledger === 'hedera-contract/v1',
  contractAnchorShape,
  hcsAnchorShape,
);

const jwk = byMember<PublishedKey['jwk']>(
  'kty',
  (kty) => kty === 'EC',
  object({ kty: oneOf('EC'), crv: oneOf('P-256'), x: base64url(32), y: base64url(32) }),
  object({ kty: oneOf('OKP'), crv: oneOf('Ed25519'), x: base64url(32) }),
);

const keyMembers = {
  kid,
  version: positive,
  purpose: oneOf('seal', 'certificate', 'log-checkpoint'),
  alg: oneOf('ES256', 'EdDSA'),
  jwk,
  validFrom: instant,
  state: oneOf('active', 'verify-only', 'suspended', 'compromised', 'destroyed', 'pre-active'),
};

const anyKey = object(keyMembers, { validTo: instant, compromisedAt: instant });

/** A published key whose algorithm is that of its JWK. */
export const publishedKey: Read<PublishedKey> = (value, path) => {
  const key = anyKey(value, path);
  if ((key.alg === 'ES256') !== (key.jwk.kty === 'EC'))
    throw new ShapeFault(`${path}.jwk`, `a key for ${key.alg} is expected`);
  return key;
};

const bundleShape: Read<Bundle> = object(
  {
    type: oneOf(BUNDLE_TYPE),
    statement: statementShape,
    seal: jws(1_024, true),
    timestamps: list(timestampShape, MAX_EVIDENCE),
    anchors: list(anchorShape, MAX_EVIDENCE),
    pending: list(oneOf('inclusion', 'timestamp', 'anchor', 'certificate'), 4),
    keys: list(publishedKey, MAX_EVIDENCE),
  },
  { inclusion: inclusionShape, checkpoint: note, certificate: jws(16_384, false) },
);
