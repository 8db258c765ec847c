/** How anchors look from outside: the shapes of the contract. */
import { anchorCost, explorerLink, ledgerNotice } from '../domain/ledger/describe-ledger.ts';
import type { TrustDocument } from '../domain/trust.ts';
import type { AnchorDetail, AnchorSummary } from '../store/anchors.read.ts';
import type { components } from './generated/contract.ts';

export type AnchorBody = components['schemas']['Anchor'];
export type AnchorDetailBody = components['schemas']['AnchorDetail'];
type Ledgers = TrustDocument['ledgers'];

export function describeAnchor(anchor: AnchorSummary, ledgers: Ledgers): AnchorBody {
  const { size, window, state, attempt, entry, failure, feeTinybars, newLeaves, createdAt, updatedAt } = anchor;
  return {
    size: size.toString(),
    window,
    state,
    attempt,
    failure: failure?.status ?? null,
    ...(entry === null ? {} : { ledger: describeEntry(entry, ledgers) }),
    ...(feeTinybars === null || newLeaves === null ? {} : { cost: anchorCost(feeTinybars, newLeaves) }),
    createdAt,
    updatedAt,
  };
}

function describeEntry(
  entry: NonNullable<AnchorSummary['entry']>,
  ledgers: Ledgers,
): NonNullable<AnchorBody['ledger']> {
  const { ledger, network, topicId, sequenceNumber, consensusTimestamp, transactionId, payer, message } = entry;
  const notice = ledgerNotice(network);
  const explorer = ledgers.find(
    (one) => one.kind === ledger && one.network === network && one.topicId === topicId,
  )?.explorer;
  return {
    kind: ledger,
    network,
    ...(notice === undefined ? {} : { notice }),
    topicId,
    sequenceNumber,
    consensusTimestamp,
    transactionId,
    payer,
    message,
    ...(explorer === undefined ? {} : { explorerUrl: explorerLink(explorer, network, consensusTimestamp) }),
  };
}

export function describeAnchorDetail(detail: AnchorDetail, ledgers: Ledgers): AnchorDetailBody {
  const attempts = detail.attempts.map(({ mirrors, ...rest }) => ({ ...rest, mirrors: [...mirrors] }));
  const commands = detail.commands.map(({ evidence, ...rest }) => ({
    ...rest,
    ...(evidence === null
      ? {}
      : { evidence: { statement: evidence.statement, distrustedMirrors: [...evidence.distrustedMirrors] } }),
  }));
  return { ...describeAnchor(detail, ledgers), attempts, commands };
}
