/** Reads a certificate (compact JWS) strictly. What is read is not yet verified. */
import {
  base64url,
  decimal,
  digest,
  hex,
  instant,
  ledgerTime,
  line,
  network,
  originName,
  proofId,
  sequence,
  tenantId,
  topic,
} from './bundle-parse.ts';
import { equalBytes, fromBase64Url, utf8 } from './bytes.ts';
import { canonicalBytes } from './canonical-json.ts';
import { CERTIFICATE_TYP, CERTIFICATE_TYPE, type CertificateAnchor, type CertificatePayload } from './certificate.ts';
import { ProoflineError } from './errors.ts';
import { parseTransactionId } from './ledger/entity-id.ts';
import { byMember, object, oneOf, type Read, ShapeFault, text } from './shape.ts';
import { ANCHOR_POLICIES } from './states.ts';
import { parseStrictJson } from './strict-json.ts';

export interface ParsedCertificate {
  readonly kid: string;
  readonly version: number;
  readonly payload: CertificatePayload;
  /** `header.payload`: what is signed, as ASCII. */
  readonly signingInput: string;
  /** r‖s, 64 bytes. */
  readonly signature: Uint8Array;
}

const url = text('an absolute URL', 1_024, /^https?:\/\/[\x21-\x7e]+$/);

const anchorParts = { entrySha256: hex(32), network, consensusTimestamp: ledgerTime };

const payloadShape: Read<CertificatePayload> = object({
  type: oneOf(CERTIFICATE_TYPE),
  number: line(64),
  tenant: tenantId,
  proof: proofId,
  digest,
  leaf: hex(32),
  log: object({ origin: originName, index: decimal, size: decimal, root: base64url(32) }),
  timestamp: object({ tsa: line(255), tokenSha256: hex(32), time: instant }),
  anchorPolicy: oneOf(...ANCHOR_POLICIES),
  anchor: byMember<CertificatePayload['anchor']>(
    'none',
    (words) => words !== undefined,
    object({ none: text('words', 500, /\S/) }),
    byMember<CertificateAnchor>(
      'ledger',
      (ledger) => ledger === 'hedera-contract/v1',
      object({
        ...anchorParts,
        ledger: oneOf('hedera-contract/v1'),
        contractId: topic,
        transactionId: text('payer@seconds.nnnnnnnnn', 100, (value) => parseTransactionId(value) !== undefined),
      }),
      object({ ...anchorParts, ledger: oneOf('hedera-hcs/v1'), topicId: topic, sequenceNumber: sequence }),
    ),
  ),
  licence: object({ grant: line(255) }, { period: decimal }),
  issuedAt: instant,
  links: object({ proof: url, bundle: url, verify: url }),
});

const headerShape = object({
  alg: oneOf('ES256'),
  kid: text('kid@version', 140, /^[A-Za-z0-9][A-Za-z0-9._:/-]*@[1-9][0-9]{0,9}$/),
  typ: oneOf(CERTIFICATE_TYP),
});

/**
 * Header and payload must be the canonical JSON of what they say, every base64url part canonical. Throws
 * BUNDLE_MALFORMED with the path of the hostile value, or the codes of `parseStrictJson`.
 */
export function parseCertificate(jws: string): ParsedCertificate {
  const [headerText = '', payloadText = '', signatureText = '', ...more] = jws.split('.');
  if (more.length > 0) throw malformed('$.certificate', 'header.payload.signature is expected');
  const header = readPart(headerText, headerShape, '$.certificate.header');
  const payload = readPart(payloadText, payloadShape, '$.certificate.payload');
  const signature = fromBase64Url(signatureText);
  if (signature?.length !== 64) throw malformed('$.certificate.signature', 'base64url of 64 bytes is expected');
  const at = header.kid.lastIndexOf('@');
  return {
    kid: header.kid.slice(0, at),
    version: Number(header.kid.slice(at + 1)),
    payload,
    signingInput: `${headerText}.${payloadText}`,
    signature,
  };
}

/** The canonical JSON of a certificate as such, as its PDF carries it. Throws like `parseCertificate`. */
export function parseCertificatePayload(bytes: Uint8Array): CertificatePayload {
  return readCanonical(bytes, payloadShape, '$');
}

function readPart<T>(part: string, shape: Read<T>, path: string): T {
  const bytes = fromBase64Url(part);
  if (bytes === undefined) throw malformed(path, 'canonical base64url is expected');
  return readCanonical(bytes, shape, path);
}

function readCanonical<T>(bytes: Uint8Array, shape: Read<T>, path: string): T {
  let source: string;
  try {
    source = utf8.decode(bytes);
  } catch (cause) {
    throw malformed(path, 'UTF-8 is expected', cause);
  }
  const value = parseStrictJson(source);
  // Another spelling of the same JSON would be another certificate that says the same.
  if (!equalBytes(canonicalBytes(value), bytes)) throw malformed(path, 'canonical JSON is expected');
  try {
    return shape(value, path);
  } catch (fault) {
    throw fault instanceof ShapeFault ? malformed(fault.path, fault.expected, fault) : fault;
  }
}

function malformed(path: string, expected: string, cause?: unknown): ProoflineError {
  return new ProoflineError('BUNDLE_MALFORMED', `${path}: ${expected}`.slice(0, 300), {
    cause,
    extra: { path: path.slice(0, 200) },
  });
}
