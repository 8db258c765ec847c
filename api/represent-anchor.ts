/** How anchors look from outside: the shapes of the contract. */
import { anchorCost, explorerLink, ledgerNotice } from '../domain/ledger/describe-ledger.ts';
import type { TrustDocument } from '../domain/trust.ts';
import type { AnchorDetail, AnchorRecords, AnchorSummary } from '../store/anchors.read.ts';
import type { ContractAnchorDetail, ContractAnchorSummary } from '../store/contract-anchors.read.ts';
import type { components } from './generated/contract.ts';

export type AnchorBody = components['schemas']['Anchor'];
export type AnchorDetailBody = components['schemas']['AnchorDetail'];
export type ContractAnchorBody = components['schemas']['ContractAnchor'];
export type ContractAnchorDetailBody = components['schemas']['ContractAnchorDetail'];
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
  return { ...describeAnchor(detail, ledgers), ...describeRecords(detail) };
}

export function describeContractAnchor(anchor: ContractAnchorSummary, ledgers: Ledgers): ContractAnchorBody {
  const { size, carriesProofs, state, attempt, entry, failure, createdAt, updatedAt } = anchor;
  return {
    size: size.toString(),
    carriesProofs,
    state,
    attempt,
    failure: failure?.status ?? null,
    ...(entry === null ? {} : { ledger: describeContractEntry(entry, ledgers) }),
    createdAt,
    updatedAt,
  };
}

function describeContractEntry(
  entry: NonNullable<ContractAnchorSummary['entry']>,
  ledgers: Ledgers,
): NonNullable<ContractAnchorBody['ledger']> {
  const { ledger, network, contractId, publisher, consensusTimestamp, transactionId, payer, message } = entry;
  const notice = ledgerNotice(network);
  const explorer = ledgers.find(
    (one) => one.kind === ledger && one.network === network && one.contractId === contractId,
  )?.explorer;
  return {
    kind: ledger,
    network,
    ...(notice === undefined ? {} : { notice }),
    contractId,
    publisher,
    consensusTimestamp,
    transactionId,
    payer,
    message,
    ...(explorer === undefined ? {} : { explorerUrl: explorerLink(explorer, network, consensusTimestamp) }),
  };
}

export function describeContractAnchorDetail(detail: ContractAnchorDetail, ledgers: Ledgers): ContractAnchorDetailBody {
  return { ...describeContractAnchor(detail, ledgers), ...describeRecords(detail) };
}

function describeRecords(records: AnchorRecords): Pick<AnchorDetailBody, 'attempts' | 'commands'> {
  const attempts = records.attempts.map(({ mirrors, ...rest }) => ({ ...rest, mirrors: [...mirrors] }));
  const commands = records.commands.map(({ evidence, ...rest }) => ({
    ...rest,
    ...(evidence === null
      ? {}
      : { evidence: { statement: evidence.statement, distrustedMirrors: [...evidence.distrustedMirrors] } }),
  }));
  return { attempts, commands };
}
