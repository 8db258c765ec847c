/** An evidence record (RFC 4998) of a proof, judged beside its bundle: is it one, of what, and who still vouches for it. */
import type { Bundle } from '../domain/bundle.ts';
import { parseBundle } from '../domain/bundle-parse.ts';
import { fromBase64Url, utf8 } from '../domain/bytes.ts';
import { canonicalBytes } from '../domain/canonical-json.ts';
import { type RecordVerdict, verifyEvidenceRecord } from '../domain/evidence-record/verify-record.ts';
import type { TrustDocument } from '../domain/trust.ts';
import { openCheckpoint } from './checkpoint.ts';

export type EvidenceRecordResult =
  | (Exclude<RecordVerdict, { verdict: 'invalid' }> & {
      /** The body of the bundle's checkpoint, or JCS of its `{seal, statement}`. */
      readonly over: 'checkpoint' | 'statement';
    })
  | { readonly verdict: 'invalid'; readonly reason: string };

/**
 * Judges a record over what the bundle holds. A record over the checkpoint says as much as the bundle's own timestamp; what ties
 * the statement to the checkpoint is the bundle's inclusion proof, judged by `verifyBundle`. Revocation lists are those that
 * the bundle keeps beside its tokens. Throws BUNDLE_MALFORMED on what is no bundle.
 */
export async function verifyRecord(
  record: Uint8Array,
  bundleText: string,
  { trust, nowMs }: { readonly trust: TrustDocument; readonly nowMs: number },
): Promise<EvidenceRecordResult> {
  const bundle = parseBundle(bundleText);
  const shared = {
    roots: trust.roots.tsa,
    policies: trust.tsas.flatMap(({ policies }) => policies),
    crls: listsOf(bundle),
    nowMicros: BigInt(Math.trunc(nowMs)) * 1000n,
  };
  const { seal, statement } = bundle;
  const body = bundle.checkpoint === undefined ? undefined : openCheckpoint(bundle.checkpoint)?.body;
  const overStatement = await verifyEvidenceRecord(record, { ...shared, data: canonicalBytes({ seal, statement }) });
  if (overStatement.verdict !== 'invalid') return { ...overStatement, over: 'statement' };
  if (body === undefined) return overStatement;
  const overCheckpoint = await verifyEvidenceRecord(record, { ...shared, data: utf8.encode(body) });
  return overCheckpoint.verdict === 'invalid' ? overCheckpoint : { ...overCheckpoint, over: 'checkpoint' };
}

function listsOf({ timestamps }: Bundle): readonly Uint8Array[] {
  const lists = timestamps.flatMap(({ crls = [], renewals = [] }) => [
    ...crls,
    ...renewals.flatMap((one) => one.crls ?? []),
  ]);
  return [...new Set(lists)].map((list) => fromBase64Url(list) ?? new Uint8Array(0));
}
