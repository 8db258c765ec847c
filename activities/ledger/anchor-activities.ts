/**
 * The steps of an anchor, each safe to repeat at any point: what was signed is in Postgres before it is sent, the
 * ledger executes a transaction at most once, and every step first looks at what Postgres shows done.
 */
import { createAnchoring, type LedgerDeps } from './anchoring.ts';
import { toPrepared, verifiedParts } from './attempt-row.ts';
import { createAwaitReceipt } from './await-receipt.ts';
import { createConfirmAnchor } from './confirm-anchor.ts';
import { createPrepareAnchor } from './prepare-anchor.ts';
import { createSettleAnchor } from './settle-anchor.ts';
import { createSubmitAnchor } from './submit-anchor.ts';

export type LedgerActivities = ReturnType<typeof createLedgerActivities>;

/** What each does, returns and throws stands beside it, in the file of its name. */
export function createLedgerActivities(deps: LedgerDeps) {
  const anchoring = createAnchoring(deps);
  return {
    prepareAnchor: createPrepareAnchor(anchoring),
    submitAnchor: createSubmitAnchor(anchoring),
    awaitAnchorReceipt: createAwaitReceipt(anchoring, deps.receiptPatienceMs),
    confirmAnchor: createConfirmAnchor(anchoring),
    settleAnchor: createSettleAnchor({
      ...anchoring,
      medium: 'hcs',
      confirmWithout: async (row, distrustedMirrors) => {
        const confirmation = await deps.ledger.confirmWithout(toPrepared(row), distrustedMirrors);
        if (confirmation.kind !== 'verified') return confirmation;
        const { kind, mirrors } = confirmation;
        return { kind, mirrors, stands: { medium: 'hcs', ...verifiedParts(confirmation) } };
      },
    }),
  };
}
