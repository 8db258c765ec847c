import { canonicalText } from '../domain/canonical-json.ts';
import { CERTIFICATE_TYPE, type CertificatePayload, NO_ANCHOR_WORDS } from '../domain/certificate.ts';
import type { DigestAlgorithm } from '../domain/digest.ts';
import type { ProofId, TenantId } from '../domain/ids.ts';
import type { AnchorPolicy } from '../domain/states.ts';
import type { Coverage } from './read-coverage.ts';

/** What the certificates of many proofs say alike. */
export interface DraftGroup {
  readonly tenantId: TenantId;
  readonly origin: string;
  readonly publicUrl: string;
  /** RFC 3339 UTC with microseconds. */
  readonly at: string;
  readonly anchorPolicy: AnchorPolicy;
  readonly coverage: Coverage;
  readonly grantId: string;
  /** Which of the grant's periods, from 0. */
  readonly period: number;
}

// What differs from proof to proof: each is ASCII that JSON writes as it is. Private-use characters stand for them.
const MARKS = ['\uE001', '\uE002', '\uE003', '\uE004', '\uE005', '\uE006'] as const;
const [NUMBER, PROOF, ALG, DIGEST, LEAF, INDEX] = MARKS;
/** How often each mark stands in a payload. */
const TIMES: Readonly<Record<string, number>> = {
  [NUMBER]: 1,
  [PROOF]: 4,
  [ALG]: 1,
  [DIGEST]: 1,
  [LEAF]: 1,
  [INDEX]: 1,
};

/**
 * The canonical payload of the group's certificates as a template of Postgres' `format`, with the arguments: number,
 * proof, digest algorithm, digest in hex, leaf in hex, index. It is written once a group and kept in place of the payloads; the
 * view `certificate_payloads` composes each whenever it is read, to the letter what was signed. Throws if a shared value holds a mark.
 */
export function draftTemplate(group: DraftGroup): string {
  const { coverage } = group;
  const self = `${group.publicUrl}/v1/proofs/${PROOF}`;
  const payload: CertificatePayload = {
    type: CERTIFICATE_TYPE,
    number: NUMBER,
    tenant: group.tenantId,
    proof: PROOF as string as ProofId,
    digest: { alg: ALG as string as DigestAlgorithm, value: DIGEST },
    leaf: LEAF,
    log: { origin: group.origin, index: INDEX, size: coverage.timestamp.size, root: coverage.timestamp.root },
    timestamp: coverage.timestamp.named,
    anchorPolicy: group.anchorPolicy,
    anchor: coverage.anchor?.named ?? { none: NO_ANCHOR_WORDS },
    licence: { grant: group.grantId, period: `${group.period}` },
    issuedAt: group.at,
    links: { proof: self, bundle: `${self}/bundle`, verify: `${group.publicUrl}/v1/verify/${PROOF}` },
  };
  let template = canonicalText(payload).replaceAll('%', '%%');
  for (const [i, mark] of MARKS.entries()) {
    const pieces = template.split(mark);
    if (pieces.length - 1 !== TIMES[mark]) throw new TypeError(`a shared part of a certificate holds U+E00${i + 1}`);
    template = pieces.join(`%${i + 1}$s`);
  }
  return template;
}
