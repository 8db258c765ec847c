/** A stored attempt as the adapter takes it, and what mirrors said as it is stored. */
import type { AttemptRow } from '../../store/anchors.ts';
import type { Confirmation, MirrorVerdict, Prepared, Receipt } from './anchor-ledger.ts';

export function toPrepared(row: AttemptRow): Prepared {
  return {
    ...(row.prepared as unknown as Omit<Prepared, 'signedBytes' | 'transactionId'>),
    transactionId: row.transactionId,
    signedBytes: row.signedBytes,
  };
}

export function toReceipt({ receipt }: AttemptRow): Receipt {
  const { sequenceNumber, runningHash } = receipt ?? {};
  return {
    ...(sequenceNumber === undefined ? {} : { sequenceNumber }),
    ...(runningHash === undefined ? {} : { runningHash }),
  };
}

export function verifiedParts(confirmation: Extract<Confirmation, { kind: 'verified' }>) {
  const { entry, feeTinybars } = confirmation;
  return { entry, ...(feeTinybars === undefined ? {} : { feeTinybars }) };
}

export function summary(mirrors: readonly MirrorVerdict[]): string {
  return mirrors
    .map(({ mirror, verdict, detail }) => `${mirror}: ${verdict}${detail === '' ? '' : `, ${detail}`}`)
    .join('; ');
}
