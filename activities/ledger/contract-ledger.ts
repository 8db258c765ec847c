/**
 * Anchors in the registry contract: one call a checkpoint, whose arguments follow from the anchor message. A root that
 * is there already makes the call revert with `AlreadyAnchored`: then the entry that stands is looked for, and counts if
 * it is the very one that was wanted.
 */
import { ContractExecuteTransaction, ContractId } from '@hashgraph/sdk';
import type { ContractAnchorEntry } from '../../domain/bundle.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { encodeAnchorCall, registryEntryOf } from '../../domain/ledger/checkpoint-registry.ts';
import type { MirrorVerdict, ReceiptOutcome, SubmitOutcome } from './anchor-ledger.ts';
import { type ContractTestimony, checkContract, readRevert } from './check-contract.ts';
import { decideReceipt } from './decision-tables.ts';
import { type ContractConfig, LEDGER_DEFAULTS, type LedgerConfig } from './ledger-config.ts';
import { createMirrorTransport, type MirrorClient, MirrorUnreachable } from './mirror-client.ts';
import { hashesOf, isProvenAbsent, lookUp } from './mirror-quorum.ts';
import { createSending, type SendingOptions, type Signed } from './sdk-sending.ts';

/** A call that may be sent any number of times: it is executed at most once. */
export interface PreparedCall extends Signed {
  readonly network: string;
  readonly contractId: string;
  readonly message: string;
  readonly gas: number;
}

/** `seen`: some mirrors show it rightly, not yet as many as the quorum asks for. */
export type ContractConfirmation =
  | { readonly kind: 'verified'; readonly entry: ContractAnchorEntry; readonly mirrors: readonly MirrorVerdict[] }
  | { readonly kind: 'seen' | 'pending' | 'suspect'; readonly mirrors: readonly MirrorVerdict[] };

export interface ContractLedger {
  /** Builds and signs; sends nothing. Throws LEDGER_REJECTED for a message without arguments, SIGNER_*. */
  prepare(message: string): Promise<PreparedCall>;
  submit(prepared: PreparedCall): Promise<SubmitOutcome>;
  /** Asks one node, another each time; why a call reverted, only a mirror tells. */
  receipt(prepared: PreparedCall, round: number): Promise<ReceiptOutcome>;
  lookUp(prepared: PreparedCall): Promise<ReceiptOutcome>;
  /** Compares what mirrors show of the call, or of the entry that made it revert, with what was wanted. */
  confirm(prepared: PreparedCall): Promise<ContractConfirmation>;
  /** The same, for an operator who does not believe some mirrors: every other mirror that answers must show it, and one must. */
  confirmWithout(prepared: PreparedCall, distrustedMirrors: readonly string[]): Promise<ContractConfirmation>;
  provenAbsent(prepared: PreparedCall): Promise<boolean>;
  isSendable(prepared: PreparedCall): boolean;
  close(): void;
}

export interface ContractLedgerOptions extends SendingOptions {
  readonly config: LedgerConfig & { readonly contract: ContractConfig };
}

export function createContractLedger(options: ContractLedgerOptions): ContractLedger {
  const { config } = options;
  const { contractId, gas, maxFeeTinybars } = config.contract;
  const sending = createSending(options);
  const transport = createMirrorTransport(config.mirrorTimeoutMs ?? LEDGER_DEFAULTS.mirrorTimeoutMs);
  const mirrors = config.mirrors.map(transport.mirror);

  return {
    async prepare(message) {
      const entry = registryEntryOf(message);
      if (entry === undefined)
        throw new ProoflineError('LEDGER_REJECTED', 'the contract has no arguments for the message');
      const transaction = new ContractExecuteTransaction()
        .setContractId(ContractId.fromString(contractId))
        .setGas(gas)
        .setFunctionParameters(Buffer.from(encodeAnchorCall(entry).slice(2), 'hex'));
      const signed = await sending.sign(transaction, { keyRefs: [config.payerKeyRef], maxFeeTinybars });
      return { network: config.network, contractId, message, gas, ...signed };
    },
    submit: sending.submit,
    async receipt(prepared, round) {
      const receipt = await sending.askReceipt(prepared, round);
      return receipt === undefined ? { kind: 'pending' } : decide(mirrors, prepared, receipt.status.toString());
    },
    async lookUp(prepared) {
      const outcome = await lookUp(mirrors, config.mirrorQuorum, prepared);
      return outcome.kind === 'failed' ? decide(mirrors, prepared, outcome.status) : outcome;
    },
    confirm: (prepared) => confirm(mirrors, config.mirrorQuorum, prepared),
    confirmWithout(prepared, distrusted) {
      const believed = mirrors.filter(({ url }) => !distrusted.includes(url));
      return confirm(believed, Math.max(1, Math.min(config.mirrorQuorum, believed.length)), prepared);
    },
    provenAbsent: (prepared) => isProvenAbsent(mirrors, config.mirrorQuorum, prepared),
    isSendable: sending.isSendable,
    close() {
      sending.close();
      transport.close();
    },
  };
}

/** Statuses of contracts beside those of all transactions: passing ones; the others end the call for a reason of ours. */
const PASSING = ['CONSENSUS_GAS_EXHAUSTED'];

async function decide(
  mirrors: readonly MirrorClient[],
  prepared: PreparedCall,
  status: string,
): Promise<ReceiptOutcome> {
  if (status === 'CONTRACT_REVERT_EXECUTED') return explainRevert(mirrors, prepared);
  if (PASSING.includes(status)) return { kind: 'abandoned', status };
  const decision = decideReceipt(status);
  if (decision === 'consensus') return { kind: 'consensus', receipt: {} };
  return decision === 'pending' ? { kind: 'pending' } : { kind: decision, status };
}

/** What the contract said. `AlreadyAnchored` is an entry that stands, to be confirmed; nothing else is. */
async function explainRevert(mirrors: readonly MirrorClient[], prepared: PreparedCall): Promise<ReceiptOutcome> {
  for (const mirror of mirrors) {
    const revert = await readRevert(mirror, prepared.transactionId).catch(ignoreUnreachable);
    if (revert === undefined) continue;
    return revert === 'AlreadyAnchored'
      ? { kind: 'consensus', receipt: {} }
      : { kind: 'failed', status: `CONTRACT_REVERT_EXECUTED ${revert}` };
  }
  return { kind: 'pending' };
}

async function confirm(
  mirrors: readonly MirrorClient[],
  quorum: number,
  prepared: PreparedCall,
): Promise<ContractConfirmation> {
  const hashes = hashesOf(prepared.signedBytes);
  const testimonies = await Promise.all(
    mirrors.map((mirror) => checkContract(mirror, prepared, hashes).catch(ignoreUnreachable)),
  );
  const verdicts = testimonies.map((testimony, i) => verdictOf(mirrors[i]?.url ?? '', testimony));
  const entries = testimonies.flatMap((testimony) => (testimony?.kind === 'ok' ? [testimony.entry] : []));
  const [entry] = entries;
  if (verdicts.some(({ verdict }) => verdict === 'mismatch')) return { kind: 'suspect', mirrors: verdicts };
  if (entries.some((other) => JSON.stringify(other) !== JSON.stringify(entry))) {
    const detail = 'the mirrors contradict each other';
    return { kind: 'suspect', mirrors: verdicts.map((verdict) => ({ ...verdict, detail: verdict.detail || detail })) };
  }
  if (entry !== undefined && entries.length >= quorum) return { kind: 'verified', entry, mirrors: verdicts };
  return { kind: entry === undefined ? 'pending' : 'seen', mirrors: verdicts };
}

function verdictOf(mirror: string, testimony: ContractTestimony | undefined): MirrorVerdict {
  if (testimony === undefined) return { mirror, verdict: 'unreachable', detail: 'it did not answer' };
  return { mirror, verdict: testimony.kind, detail: testimony.kind === 'ok' ? '' : testimony.detail };
}

function ignoreUnreachable(error: unknown): undefined {
  if (error instanceof MirrorUnreachable) return undefined;
  throw error;
}
