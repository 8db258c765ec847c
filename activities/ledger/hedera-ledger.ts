/** Anchors on the Hedera Consensus Service: one message of at most 100 bytes a checkpoint, never in chunks. */
import { TopicMessageSubmitTransaction } from '@hashgraph/sdk';
import { toBase64Url } from '../../domain/bytes.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { ANCHOR_MESSAGE_MAX_BYTES } from '../../domain/ledger/anchor-message.ts';
import type { AnchorLedger, Prepared, Receipt, ReceiptOutcome } from './anchor-ledger.ts';
import { decideReceipt } from './decision-tables.ts';
import { LEDGER_DEFAULTS, type LedgerConfig } from './ledger-config.ts';
import { createMirrorTransport } from './mirror-client.ts';
import { confirm, isProvenAbsent, lookUp, readHealth } from './mirror-quorum.ts';
import { createSending, type Sending, type SendingOptions } from './sdk-sending.ts';

export type HederaLedgerOptions = SendingOptions;

export function createHederaLedger(options: HederaLedgerOptions): AnchorLedger {
  const { clock } = options;
  const config = { ...LEDGER_DEFAULTS, ...options.config };
  const sending = createSending(options);
  const transport = createMirrorTransport(config.mirrorTimeoutMs);
  const mirrors = config.mirrors.map(transport.mirror);

  return {
    prepare: (message) => prepare(sending, config, message),
    submit: sending.submit,
    receipt: (prepared, round) => askNode(sending, prepared, round),
    lookUp: (prepared) => lookUp(mirrors, config.mirrorQuorum, prepared),
    confirm: (prepared, receipt) => confirm(mirrors, config.mirrorQuorum, prepared, receipt),
    confirmWithout(prepared, distrusted) {
      const believed = mirrors.filter(({ url }) => !distrusted.includes(url));
      return confirm(believed, Math.max(1, Math.min(config.mirrorQuorum, believed.length)), prepared, {});
    },
    provenAbsent: (prepared) => isProvenAbsent(mirrors, config.mirrorQuorum, prepared),
    isSendable: sending.isSendable,
    health: () => readHealth(mirrors, config.payerAccountId, clock),
    close() {
      sending.close();
      transport.close();
    },
  };
}

async function prepare(sending: Sending, settings: LedgerConfig, message: string): Promise<Prepared> {
  const bytes = Buffer.byteLength(message);
  if (bytes > ANCHOR_MESSAGE_MAX_BYTES) throw new ProoflineError('ANCHOR_MESSAGE_TOO_LONG', `${bytes} bytes`);
  const { topicId, network, payerKeyRef, submitKeyRef = payerKeyRef, maxFeeTinybars } = settings;
  const transaction = new TopicMessageSubmitTransaction().setTopicId(topicId).setMessage(message).setMaxChunks(1);
  const signed = await sending.sign(transaction, { keyRefs: [payerKeyRef, submitKeyRef], maxFeeTinybars });
  return { network, topicId, message, ...signed };
}

async function askNode(sending: Sending, prepared: Prepared, round: number): Promise<ReceiptOutcome> {
  const receipt = await sending.askReceipt(prepared, round);
  if (receipt === undefined) return { kind: 'pending' };
  const status = receipt.status.toString();
  const decision = decideReceipt(status);
  if (decision !== 'consensus') return decision === 'pending' ? { kind: 'pending' } : { kind: decision, status };
  return { kind: 'consensus', receipt: toReceipt(receipt.topicSequenceNumber, receipt.topicRunningHash) };
}

function toReceipt(sequenceNumber: { toString(): string } | null, runningHash: Uint8Array | null): Receipt {
  return {
    ...(sequenceNumber === null ? {} : { sequenceNumber: sequenceNumber.toString() }),
    ...(runningHash === null || runningHash.length === 0 ? {} : { runningHash: toBase64Url(runningHash) }),
  };
}
