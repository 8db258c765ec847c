/**
 * The one catalogue of errors. A code is API: it is the `code` of a problem document, the `type` of an
 * ApplicationFailure, the label of a metric. Nobody parses a message.
 */

/** One entry: HTTP status as data, whether repeating the same request can succeed, what happened, what to do. */
export interface ErrorEntry {
  readonly status: number;
  readonly retryable: boolean;
  readonly what: string;
  readonly todo: string;
}

export const ERRORS = {
  // Bad input
  BODY_MALFORMED: {
    status: 400,
    retryable: false,
    what: 'The body is not well-formed JSON.',
    todo: 'Send one JSON value in UTF-8.',
  },
  JSON_DUPLICATE_KEY: {
    status: 400,
    retryable: false,
    what: 'A JSON object names a member twice.',
    todo: 'Name each member once.',
  },
  JSON_NUMBER_OUT_OF_RANGE: {
    status: 400,
    retryable: false,
    what: 'A number cannot be held exactly (beyond ±2^53 or not finite).',
    todo: 'Send it as a string.',
  },
  JSON_LONE_SURROGATE: {
    status: 400,
    retryable: false,
    what: 'A string holds half of a surrogate pair.',
    todo: 'Send well-formed Unicode.',
  },
  JSON_TOO_DEEP: {
    status: 400,
    retryable: false,
    what: 'The JSON is nested too deeply.',
    todo: 'Nest at most 64 levels.',
  },
  REQUEST_INVALID: {
    status: 400,
    retryable: false,
    what: 'The request does not match the contract.',
    todo: 'See `errors` and /docs.',
  },
  DIGEST_ALGORITHM_UNKNOWN: {
    status: 400,
    retryable: false,
    what: 'The digest algorithm is not supported.',
    todo: 'Use sha-256, sha-384 or sha-512.',
  },
  DIGEST_MALFORMED: {
    status: 400,
    retryable: false,
    what: 'The digest is not lower-case hex of the length of its algorithm.',
    todo: 'Send 64, 96 or 128 hex digits for sha-256, sha-384 or sha-512.',
  },
  METADATA_TOO_LARGE: {
    status: 413,
    retryable: false,
    what: 'The metadata is larger than 16 KB as canonical JSON.',
    todo: 'Submit the digest of the data instead.',
  },
  REFERENCE_TOO_LONG: {
    status: 400,
    retryable: false,
    what: 'The reference is longer than 256 characters.',
    todo: 'Shorten it.',
  },
  TOO_MANY_ITEMS: {
    status: 413,
    retryable: false,
    what: 'A submission holds at most 10,000 proofs.',
    todo: 'Split it.',
  },
  SUBMISSION_EMPTY: {
    status: 400,
    retryable: false,
    what: 'The submission holds no proof.',
    todo: 'Send at least one.',
  },
  ITEMS_REFUSED: {
    status: 422,
    retryable: false,
    what: 'Some items are not acceptable; nothing was accepted.',
    todo: 'Correct the items named in `items`, or send `partial=true`.',
  },
  BODY_TOO_LARGE: {
    status: 413,
    retryable: false,
    what: 'The body is over its limit.',
    todo: 'JSON bodies hold 1 MiB, NDJSON 32 MiB.',
  },
  LINE_TOO_LONG: {
    status: 413,
    retryable: false,
    what: 'An NDJSON line is longer than 64 KiB.',
    todo: 'Shorten the item named.',
  },
  STREAM_INTERRUPTED: {
    status: 400,
    retryable: true,
    what: 'The stream ended before the body was complete; nothing was accepted.',
    todo: 'Send it again under the same idempotency key.',
  },
  MEDIA_TYPE_UNSUPPORTED: {
    status: 415,
    retryable: false,
    what: 'The content type is not supported here.',
    todo: 'Use application/json, or application/x-ndjson for bulk.',
  },
  CURSOR_MALFORMED: {
    status: 400,
    retryable: false,
    what: 'The cursor was not issued by this list.',
    todo: 'Start again without a cursor.',
  },
  IDEMPOTENCY_KEY_MALFORMED: {
    status: 400,
    retryable: false,
    what: 'The idempotency key is not 1 to 255 visible ASCII characters.',
    todo: 'Use a UUID.',
  },
  IDEMPOTENCY_KEY_REUSED: {
    status: 422,
    retryable: false,
    what: 'The idempotency key was used with another body.',
    todo: 'Use a new key for a new request.',
  },
  ANCHOR_POLICY_NOT_ALLOWED: {
    status: 403,
    retryable: false,
    what: 'The tenant does not allow a weaker anchor policy.',
    todo: 'Leave `anchorPolicy` out, or strengthen it.',
  },
  // Access
  UNAUTHENTICATED: {
    status: 401,
    retryable: false,
    what: 'The API key is missing, unknown, expired or revoked.',
    todo: 'Send `Authorization: Bearer <key>`.',
  },
  FORBIDDEN: {
    status: 403,
    retryable: false,
    what: 'The key lacks the scope for this.',
    todo: 'Ask an administrator for the scope named.',
  },
  NOT_FOUND: { status: 404, retryable: false, what: 'There is no such thing here.', todo: 'Check the id.' },
  METHOD_NOT_ALLOWED: {
    status: 405,
    retryable: false,
    what: 'The resource has no such method.',
    todo: 'See the `Allow` header and /docs.',
  },
  NOT_READY: {
    status: 409,
    retryable: true,
    what: 'The evidence asked for does not exist yet.',
    todo: 'Ask again after `Retry-After`, or use `?wait`.',
  },
  TENANT_SUSPENDED: { status: 403, retryable: false, what: 'The tenant is suspended.', todo: 'Ask the operator.' },
  ORG_UNIT_CLOSED: {
    status: 403,
    retryable: false,
    what: 'The org unit of this key is closed.',
    todo: 'Use a key of an open unit.',
  },
  RATE_LIMITED: { status: 429, retryable: true, what: 'Too many requests.', todo: 'Wait for `Retry-After`.' },
  TOO_MANY_PENDING: {
    status: 429,
    retryable: true,
    what: 'The tenant has as many pending proofs as it may.',
    todo: 'Wait for `Retry-After`.',
  },
  CONFLICT: { status: 409, retryable: false, what: 'The state does not allow this.', todo: 'See `detail`.' },
  STORE_UNAVAILABLE: {
    status: 503,
    retryable: true,
    what: 'The database does not answer.',
    todo: 'Repeat with the same idempotency key.',
  },
  INTERNAL: { status: 500, retryable: true, what: 'Something failed here.', todo: 'Report the request id.' },
  // Lifecycle
  TRANSITION_NOT_ALLOWED: {
    status: 409,
    retryable: false,
    what: 'The proof cannot go from its state to the one asked for.',
    todo: 'Read the proof again.',
  },
  REJECTED_BY_OPERATOR: {
    status: 409,
    retryable: false,
    what: 'An operator rejected the proof.',
    todo: 'See the reason in `detail`.',
  },
  CONFIG_INVALID: {
    status: 500,
    retryable: false,
    what: 'The configuration is not acceptable.',
    todo: 'Correct every fault listed.',
  },
  // Signer
  SIGNER_UNAVAILABLE: {
    status: 503,
    retryable: true,
    what: 'The signer does not answer.',
    todo: 'Nothing; it is tried again.',
  },
  SIGNER_MTLS_REJECTED: {
    status: 502,
    retryable: true,
    what: 'The signer refused our client certificate.',
    todo: 'Renew the certificate or correct the allow-list.',
  },
  SIGNER_REFUSED: {
    status: 502,
    retryable: false,
    what: 'The signer refused the request.',
    todo: 'See `detail`; correct the value or the policy.',
  },
  SIGNER_KEY_NOT_ACTIVE: {
    status: 502,
    retryable: true,
    what: 'The key version no longer signs.',
    todo: 'Nothing; the next version is taken.',
  },
  SIGNER_BAD_SIGNATURE: {
    status: 502,
    retryable: true,
    what: 'The signer answered with a signature that the pinned key does not verify.',
    todo: 'Check which key the signer holds.',
  },
  SIGNER_BAD_ANSWER: {
    status: 502,
    retryable: true,
    what: 'The signer answered outside its protocol.',
    todo: 'Check the signer.',
  },
  SIGNER_IDEMPOTENCY_CONFLICT: {
    status: 409,
    retryable: false,
    what: 'The idempotency key was used with another request.',
    todo: 'Use the key derived from the request.',
  },
  // Log
  LOG_ROLLBACK: {
    status: 500,
    retryable: false,
    what: 'The log head is behind what was signed or anchored.',
    todo: 'Stop; see runbooks/log-rollback.md.',
  },
  LOG_CORRUPT: {
    status: 500,
    retryable: false,
    what: 'The stored log does not have the root of its head.',
    todo: 'Stop; see runbooks/log-rollback.md.',
  },
  INTEGRITY_FAULT: {
    status: 500,
    retryable: false,
    what: 'A nightly check found rows that contradict each other, or the outside.',
    todo: 'See runbooks/integrity.md.',
  },
  LOG_MALFORMED: { status: 400, retryable: false, what: 'A log structure is malformed.', todo: 'See `detail`.' },
  LOG_TILE_NOT_FOUND: {
    status: 404,
    retryable: false,
    what: 'The log does not have this tile yet.',
    todo: 'Read /log/checkpoint for the size.',
  },
  // Timestamp
  TSA_UNAVAILABLE: {
    status: 503,
    retryable: true,
    what: 'No timestamp authority answered.',
    todo: 'Nothing; it is tried again.',
  },
  TSA_REJECTED: {
    status: 502,
    retryable: true,
    what: 'The authority rejected the request.',
    todo: 'Nothing; another is asked.',
  },
  TSA_BAD_TOKEN: {
    status: 502,
    retryable: true,
    what: 'The token failed verification.',
    todo: 'Nothing; another authority is asked. See `detail` for the point that failed.',
  },
  REVOCATION_UNAVAILABLE: {
    status: 503,
    retryable: true,
    what: 'The revocation list of a certificate could not be had, or is not in force.',
    todo: 'Nothing; it is tried again. See `detail` for the address.',
  },
  // PDF certificates
  PDF_SLOT_TOO_SMALL: {
    status: 500,
    retryable: false,
    what: 'A signature or token does not fit into the room that the PDF keeps for it.',
    todo: 'Raise PROOFLINE_PDF_TOKEN_RESERVE; the rendering goes on by itself with another signature.',
  },
  PDF_NOT_CERTIFIED: {
    status: 409,
    retryable: false,
    what: 'The proof has no certificate to render.',
    todo: 'Wait until it is certified.',
  },
  PDF_LEVEL_MISSING: {
    status: 409,
    retryable: true,
    what: 'The level below the one asked for is not stored yet.',
    todo: 'Nothing; it is tried again.',
  },
  CERTIFICATE_REVOKED: {
    status: 502,
    retryable: false,
    what: 'A certificate of the signer or of an authority is revoked.',
    todo: 'Rotate the key; see `detail`.',
  },
  CERTIFICATE_CHAIN_INCOMPLETE: {
    status: 500,
    retryable: false,
    what: 'The issuer of a certificate is not known here.',
    todo: 'Configure the whole chain.',
  },
  // Ledger
  LEDGER_UNAVAILABLE: {
    status: 503,
    retryable: true,
    what: 'The ledger does not answer.',
    todo: 'Nothing; it is tried again.',
  },
  LEDGER_REJECTED: {
    status: 502,
    retryable: false,
    what: 'The ledger refuses the transaction for a reason of ours.',
    todo: 'Correct funds or configuration, then retry the anchor.',
  },
  LEDGER_SUSPECT: {
    status: 502,
    retryable: false,
    what: 'The ledger shows something else than we sent.',
    todo: 'See runbooks/anchor-suspect.md.',
  },
  LEDGER_FROZEN: {
    status: 503,
    retryable: true,
    what: 'Another anchor is suspect: nothing is sent until somebody has decided about it.',
    todo: 'See runbooks/anchor-suspect.md.',
  },
  LEDGER_SETUP_INVALID: {
    status: 503,
    retryable: true,
    what: 'Topic, keys, account or network are not what the ledger file says.',
    todo: 'Run `npm run ledger -- check`, mend every fault listed; it is looked at again by itself.',
  },
  LEDGER_NOT_CONFIRMED: {
    status: 503,
    retryable: true,
    what: 'The mirrors do not show the message yet.',
    todo: 'Nothing; they are asked again.',
  },
  ANCHOR_MESSAGE_TOO_LONG: {
    status: 500,
    retryable: false,
    what: 'An anchor message holds at most 100 bytes.',
    todo: 'Shorten the origin id.',
  },
  // Licences
  GRANT_MALFORMED: {
    status: 400,
    retryable: false,
    what: 'The grant is not a compact JWS over canonical JSON of a grant.',
    todo: 'Import the file as the issuer made it.',
  },
  GRANT_SIGNATURE_INVALID: {
    status: 422,
    retryable: false,
    what: 'The signature does not verify under the issuer key that the file names.',
    todo: 'Import the file as the issuer made it: it was changed, or another key signed it.',
  },
  GRANT_ISSUER_UNKNOWN: {
    status: 422,
    retryable: false,
    what: 'The file is signed under an issuer key that is not configured here.',
    todo: 'Configure that key of the issuer, or ask for a file under one that is.',
  },
  GRANT_WRONG_INSTANCE: {
    status: 422,
    retryable: false,
    what: 'The grant is for another instance.',
    todo: 'Ask the issuer for one with this fingerprint.',
  },
  GRANT_ID_REUSED: { status: 409, retryable: false, what: 'Another grant bears this id.', todo: 'Ask the issuer.' },
  GRANT_CHAIN_BROKEN: {
    status: 422,
    retryable: false,
    what: 'A grant between the last one imported and this one is missing.',
    todo: 'Import the missing grants named first.',
  },
  GRANT_SEQ_TAKEN: {
    status: 409,
    retryable: false,
    what: 'Another grant was imported at the place of this one in the chain.',
    todo: 'Ask the issuer for a grant that follows the last one imported, with the seq and hash named.',
  },
  GRANT_CHAIN_FORKED: {
    status: 409,
    retryable: false,
    what: 'The grant follows another file than the last one imported.',
    todo: 'Ask the issuer for a grant that follows the last one imported, with the hash named.',
  },
  GRANT_DATES_INVALID: {
    status: 422,
    retryable: false,
    what: 'The dates of the grant do not fit.',
    todo: 'Ask the issuer.',
  },
  GRANT_ALLOCATION_INVALID: {
    status: 422,
    retryable: false,
    what: 'The allocations exceed their parent or name unknown units.',
    todo: 'Ask the issuer.',
  },
  GRANT_ALLOCATION_BELOW_USE: {
    status: 409,
    retryable: false,
    what: 'A share of the transfer would be less than what is used of it in the running period.',
    todo: 'Ask the issuer for one that leaves at least what is used, or import it in the next period.',
  },
  GRANT_QUOTA_INVALID: { status: 422, retryable: false, what: 'The quota does not fit.', todo: 'Ask the issuer.' },
  GRANT_TENANT_UNKNOWN: {
    status: 422,
    retryable: false,
    what: 'The grant names a tenant that does not exist here.',
    todo: 'Create the tenant first.',
  },
  GRANT_REFERENCE_INVALID: {
    status: 422,
    retryable: false,
    what: 'The grant that this one changes is not there, or cannot be changed so.',
    todo: 'Import the grant that is named first, or ask the issuer.',
  },
  GRANT_KIND_UNSUPPORTED: {
    status: 422,
    retryable: false,
    what: 'This file is not imported here.',
    todo: 'Revocation lists are imported by a platform administrator.',
  },
  GRANT_LIST_OUTDATED: {
    status: 409,
    retryable: false,
    what: 'A newer revocation list holds.',
    todo: 'Import the newest list of the issuer.',
  },
  // Org tree and shares
  ORG_TREE_INVALID: {
    status: 409,
    retryable: false,
    what: 'The change does not give a tree of units.',
    todo: 'Read the units and choose others.',
  },
  ALLOCATION_INVALID: {
    status: 409,
    retryable: false,
    what: 'Shares would exceed their parent, the quota, or name unknown units or grants.',
    todo: 'Raise the parent first, or lower the shares beside it.',
  },
  ALLOCATION_BELOW_USE: {
    status: 409,
    retryable: false,
    what: 'A share would be less than what is used of it in the running period.',
    todo: 'Leave at least what is used, or wait for the next period.',
  },
  CLOCK_BEHIND: {
    status: 503,
    retryable: true,
    what: 'The clock stands behind a time that an authority or the ledger has stated.',
    todo: 'Set the clock of the workers right; renewal goes on by itself.',
  },
  // Verification input
  BUNDLE_MALFORMED: {
    status: 400,
    retryable: false,
    what: 'The input is not a Proofline bundle.',
    todo: 'Send the bundle as it was downloaded.',
  },
  DISCLOSURE_MALFORMED: {
    status: 400,
    retryable: false,
    what: 'The input is not a disclosure of reference or metadata.',
    todo: 'Take it from /v1/proofs/{id}/disclosure as it was downloaded.',
  },
  TRUST_MALFORMED: {
    status: 400,
    retryable: false,
    what: 'The trust file is not one of Proofline.',
    todo: 'Take it from /.well-known/proofline.json of the instance that you trust.',
  },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

/** An error with a code of the catalogue. `detail` says what was expected and what came; never a secret. */
export class ProoflineError extends Error {
  readonly code: ErrorCode;
  readonly detail: string;
  /** Structured facts for the problem document, e.g. `{ items: [...] }`. */
  readonly extra: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, detail = '', options: { cause?: unknown; extra?: Record<string, unknown> } = {}) {
    super(
      detail === '' ? `${code}: ${ERRORS[code].what}` : `${code}: ${detail}`,
      options.cause === undefined ? {} : { cause: options.cause },
    );
    this.name = 'ProoflineError';
    this.code = code;
    this.detail = detail;
    this.extra = options.extra ?? {};
  }

  get entry(): ErrorEntry {
    return ERRORS[this.code];
  }
}

/** Ends an exhaustive switch: a member of a union that no case handles does not compile. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${String(value)}`);
}
