import type { AnchorEntry, Bundle } from '../domain/bundle.ts';
import { equalBytes } from '../domain/bytes.ts';
import { findAnchorEntryFault } from '../domain/ledger/anchor-entry.ts';
import { originId, parseAnchorMessage } from '../domain/ledger/anchor-message.ts';
import { describeNetwork, explorerLink } from '../domain/ledger/describe-ledger.ts';
import { parseLedgerTime } from '../domain/ledger/entity-id.ts';
import type { TrustedLedger } from '../domain/trust.ts';
import type { VerifierCache } from './cache.ts';
import type { OpenCertificate } from './certificate.ts';
import { judgeCheckpoint, openCheckpoint } from './checkpoint.ts';
import { findInclusionFault } from './inclusion.ts';
import { askMirrors, type MirrorReader } from './mirror.ts';
import type { ProofTime } from './timestamp.ts';
import type { TrustView } from './trust-view.ts';
import { type ClaimResult, missing, result, type Verdict } from './verdict.ts';

export interface AnchorContext {
  readonly bundle: Bundle;
  readonly leaf: Uint8Array;
  readonly certificate: OpenCertificate;
  readonly view: TrustView;
  readonly time: ProofTime;
  /** Empty: nothing is asked, and a consistent anchor is `unverified`. */
  readonly mirrors: readonly MirrorReader[];
  readonly nowMs: number;
  readonly cache: VerifierCache;
}

/** Weakest first. */
const STRENGTH: readonly Verdict[] = ['invalid', 'unverified', 'valid'];

/**
 * Claim `anchor`: the checkpoint stands on the ledger. From the bundle alone that cannot be proven (anybody can post a
 * root, and a running hash from a chosen predecessor proves nothing), so without a mirror it is `unverified` at best.
 * With several anchors the weakest verdict is the claim's.
 */
export async function checkAnchor(context: AnchorContext): Promise<ClaimResult> {
  const { bundle, certificate } = context;
  if (bundle.anchors.length === 0) {
    const anchor = certificate.isPresent ? certificate.parsed?.payload.anchor : undefined;
    if (anchor !== undefined && 'none' in anchor) return result('absent', 'none-as-certificate-states');
    return missing(bundle.pending.includes('anchor'));
  }
  let weakest: ClaimResult | undefined;
  for (const entry of bundle.anchors) {
    const claim = await judgeAnchor(entry, context);
    if (weakest === undefined || STRENGTH.indexOf(claim.verdict) < STRENGTH.indexOf(weakest.verdict)) weakest = claim;
  }
  return weakest as ClaimResult;
}

async function judgeAnchor(entry: AnchorEntry, context: AnchorContext): Promise<ClaimResult> {
  const at = instantOf(entry.consensusTimestamp);
  // What is no public ledger must never read as one.
  const network = describeNetwork(entry.network);
  const place =
    entry.ledger === 'hedera-hcs/v1'
      ? `${network} ${entry.topicId} message ${entry.sequenceNumber}`
      : `${network} contract ${entry.contractId} at ${entry.consensusTimestamp}`;
  const { ledgers } = context.view;
  const trusted = ledgers?.find((one) => isPlaceOf(one, entry));
  const link =
    trusted?.explorer === undefined
      ? ''
      : `, ${explorerLink(trusted.explorer, entry.network, entry.consensusTimestamp)}`;
  const where = `${place}${link}`;
  const fault = findAnchorEntryFault(entry);
  if (fault !== undefined) return result('invalid', 'anchor-inconsistent', { detail: `${where}: ${fault}`, at });
  if (!entry.transactionId.startsWith(`${entry.payer}@`))
    return result('invalid', 'anchor-inconsistent', {
      detail: `${where}: another account than the payer's transaction`,
      at,
    });
  if (ledgers !== undefined && trusted === undefined)
    return result('invalid', 'ledger-not-in-trust-file', { detail: where, at });
  const uncovered = await findCoverageFault(entry, context);
  if (uncovered !== undefined) return { ...uncovered, ...(at === undefined ? {} : { at }) };
  if (context.mirrors.length === 0) return result('unverified', 'ledger-not-consulted', { detail: where, at });
  const answer = await askMirrors(entry, context.mirrors, context.nowMs);
  const claim = result(answer.verdict, answer.reason, { detail: `${where}; ${answer.detail}`, at });
  return claim.verdict === 'valid' && ledgers === undefined
    ? { ...claim, verdict: 'unverified', reason: 'own-keys' }
    : claim;
}

function isPlaceOf(trusted: TrustedLedger, entry: AnchorEntry): boolean {
  if (trusted.network !== entry.network) return false;
  if (trusted.kind === 'hedera-hcs/v1') return entry.ledger === trusted.kind && entry.topicId === trusted.topicId;
  return entry.ledger === trusted.kind && entry.contractId === trusted.contractId;
}

/** The message names the anchor's checkpoint, the log signed that, and it holds the leaf. */
async function findCoverageFault(entry: AnchorEntry, context: AnchorContext): Promise<ClaimResult | undefined> {
  const { bundle, leaf, view, time, cache } = context;
  const note = entry.checkpoint ?? bundle.checkpoint;
  const inclusion = entry.inclusion ?? bundle.inclusion;
  const opened = note === undefined ? undefined : openCheckpoint(note);
  if (note === undefined || inclusion === undefined || opened === undefined)
    return result('invalid', 'anchor-not-covering', { detail: 'no readable checkpoint and inclusion' });
  const { origin, size, root } = opened.checkpoint;
  const message = parseAnchorMessage(entry.message);
  if (
    message === undefined ||
    message.originId !== originId(origin) ||
    message.size !== size ||
    !equalBytes(message.root, root)
  )
    return result('invalid', 'anchor-of-other-checkpoint', { detail: entry.message });
  if (inclusion.index !== bundle.inclusion?.index)
    return result('invalid', 'anchor-not-covering', { detail: 'the leaf has another index there' });
  const fault = findInclusionFault(inclusion, leaf, opened);
  if (fault !== undefined) return result('invalid', 'anchor-not-covering', { detail: fault });
  if (note === bundle.checkpoint) return undefined;
  const signed = await judgeCheckpoint(note, bundle, view, time, cache);
  return signed.verdict === 'invalid'
    ? result('invalid', 'anchor-not-covering', { detail: `${signed.reason}: ${signed.detail ?? ''}` })
    : undefined;
}

/** RFC 3339 with nine fraction digits. */
function instantOf(consensusTimestamp: string): string | undefined {
  const time = parseLedgerTime(consensusTimestamp);
  if (time === undefined || time.seconds > 253_402_300_799n) return undefined;
  const seconds = new Date(Number(time.seconds) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${time.nanos.toString().padStart(9, '0')}Z`;
}
