/**
 * Fees of the network since consensus node 0.73, in US dollars, charged in tinybars at one fixed rate (12 cents an
 * hbar). One signature, 100 message bytes and 1,350 processing bytes are included.
 */
export const FEE_SCHEDULE = {
  nodeUsd: 0.00001,
  networkFactor: 9,
  serviceUsd: {
    consensusSubmitMessage: 0.00007,
    consensusCreateTopic: 0.0099,
    consensusUpdateTopic: 0.00012,
    consensusDeleteTopic: 0.0049,
    cryptoCreateAccount: 0.0499,
    cryptoUpdateAccount: 0.00012,
    cryptoTransfer: 0,
  },
  perExtraSignatureUsd: 0.0001,
  perKeyUsd: 0.01,
  includedMessageBytes: 100,
  perExtraMessageByteUsd: 0.00000068,
  centsPerHbar: 12,
} as const;

export type TransactionKind = keyof typeof FEE_SCHEDULE.serviceUsd;

export interface FeeInput {
  readonly kind: TransactionKind;
  readonly signatures: number;
  readonly messageBytes: number;
  /** Keys that a topic is created with. */
  readonly keys: number;
}

/** Node, network and service fee in tinybars. */
export function feeTinybars(input: FeeInput): bigint {
  const { serviceUsd, perExtraSignatureUsd, perKeyUsd, includedMessageBytes, perExtraMessageByteUsd } = FEE_SCHEDULE;
  return (
    nodeAndNetworkFee() +
    tinybars(
      serviceUsd[input.kind] +
        perExtraSignatureUsd * Math.max(0, input.signatures - 1) +
        perKeyUsd * input.keys +
        perExtraMessageByteUsd * Math.max(0, input.messageBytes - includedMessageBytes),
    )
  );
}

/** What a duplicate costs. */
export function nodeAndNetworkFee(): bigint {
  return tinybars(FEE_SCHEDULE.nodeUsd * (1 + FEE_SCHEDULE.networkFactor));
}

function tinybars(usd: number): bigint {
  return BigInt(Math.round(((usd * 100) / FEE_SCHEDULE.centsPerHbar) * 100_000_000));
}
