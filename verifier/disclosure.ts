import { fromBase64Url } from '../domain/bytes.ts';
import type { Disclosure } from '../domain/disclosure.ts';
import { type Statement, saltedDigest } from '../domain/statement.ts';
import { type ClaimResult, result } from './verdict.ts';

/** One verdict for each value that was disclosed. */
export interface DisclosureResult {
  readonly reference?: ClaimResult;
  readonly metadata?: ClaimResult;
}

/** Whether the values disclosed are those that the statement commits to. */
export function checkDisclosure(statement: Statement, disclosure: Disclosure): DisclosureResult {
  const { reference, referenceSalt, metadata, metadataSalt } = disclosure;
  return {
    ...(reference !== undefined && { reference: compare(statement.referenceDigest, reference, referenceSalt) }),
    ...(metadata !== undefined && { metadata: compare(statement.metadataDigest, metadata, metadataSalt) }),
  };
}

function compare(stated: string | undefined, value: unknown, salt = ''): ClaimResult {
  if (stated === undefined) return result('invalid', 'disclosed-not-stated');
  const given = saltedDigest(fromBase64Url(salt) ?? new Uint8Array(0), value);
  return given === stated
    ? result('valid', 'disclosed-equal')
    : result('invalid', 'disclosed-differs', { detail: `${given}, stated ${stated}` });
}
