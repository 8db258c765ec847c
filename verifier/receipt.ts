import { leafData } from '../domain/seal.ts';
import type { Statement } from '../domain/statement.ts';
import type { TrustDocument } from '../domain/trust.ts';
import { parseTlogProof, verifyTlogProof } from '../log/tlog-proof.ts';
import { hashLeaf } from '../log/tree.ts';
import { openCheckpoint } from './checkpoint.ts';
import { type LogKey, viewTrust } from './trust-view.ts';
import { type ClaimResult, result, type Verdict } from './verdict.ts';

export interface ReceiptResult {
  readonly overall: Verdict;
  readonly claims: { readonly inclusion: ClaimResult; readonly checkpoint: ClaimResult };
}

/**
 * Verifies a receipt (C2SP tlog-proof) for the leaf of a statement and its seal, under the log keys of a trust file.
 * It says where the leaf stands, and nothing of time, key or certificate. Never throws on any text.
 */
export async function verifyReceipt(
  receipt: string,
  subject: { readonly statement: Statement; readonly seal: string } | { readonly leaf: Uint8Array },
  trust: TrustDocument,
): Promise<ReceiptResult> {
  const view = viewTrust(trust);
  const leaf = 'leaf' in subject ? subject.leaf : leafData(subject.statement, subject.seal);
  const keys = view.logKeys.map(({ key }) => key);
  const verdict = await verifyTlogProof(receipt, hashLeaf(leaf), keys, trust.origin);
  if (verdict.valid) {
    const { origin, size } = verdict.checkpoint;
    const detail = `leaf ${verdict.proof.index} of ${size} in ${origin}`;
    const isInWindow = view.logKeys.some((one) => verdict.signers.includes(one.key) && isSound(one, size));
    const checkpoint = isInWindow
      ? result('valid', 'checkpoint-good', { detail: `${origin}, ${size} leaves` })
      : result('invalid', 'log-key-outside-window', { detail: `${origin}, ${size} leaves` });
    return {
      overall: checkpoint.verdict,
      claims: { inclusion: result('valid', 'included', { detail }), checkpoint },
    };
  }
  if (verdict.reason === 'not-included')
    return {
      overall: 'invalid',
      claims: { inclusion: result('invalid', 'not-included'), checkpoint: result('valid', 'checkpoint-good') },
    };
  const reason = verdict.reason === 'wrong-origin' ? 'other-log' : 'checkpoint-bad';
  return {
    overall: 'invalid',
    claims: {
      inclusion: result('unverified', reason, { detail: describe(receipt) }),
      checkpoint: result('invalid', reason, { detail: verdict.reason }),
    },
  };
}

/** A compromised log key counts for nothing here: a receipt has no timestamp that would show it to be older. */
function isSound({ fromSize, toSize, compromisedAt }: LogKey, size: bigint): boolean {
  return compromisedAt === undefined && size >= fromSize && (toSize === undefined || size <= toSize);
}

function describe(receipt: string): string | undefined {
  try {
    const { checkpoint } = openCheckpoint(parseTlogProof(receipt).checkpoint) ?? {};
    return checkpoint && `${checkpoint.origin}, ${checkpoint.size} leaves`;
  } catch {
    return 'malformed';
  }
}
