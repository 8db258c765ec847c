/**
 * The one table of how activities run. Fast phase: the retry here; the slow phase and the visible wait are
 * `persist.ts`. Codes that are not retryable end the fast phase at once (they come as non-retryable failures).
 */

/** Task queues, split by secret and by load. */
export const POOLS = ['workflows', 'store', 'signer', 'timestamp', 'ledger', 'render', 'notify', 'reports'] as const;
export type Pool = (typeof POOLS)[number];

export interface ActivityPolicy {
  readonly pool: Pool;
  /** One attempt takes no longer. */
  readonly startToCloseMs: number;
  /** A silent attempt is taken for dead after this. */
  readonly heartbeatMs?: number;
  /** Attempts of the fast phase; `unlimited` for loops that the workflow keeps running. */
  readonly attempts: number | 'unlimited';
  readonly firstRetryMs: number;
  readonly maxRetryMs: number;
}

const FAST = { attempts: 10, firstRetryMs: 200, maxRetryMs: 10_000 } as const;
const LOOP = {
  startToCloseMs: 24 * 3_600_000,
  heartbeatMs: 5_000,
  attempts: 'unlimited',
  firstRetryMs: 200,
  maxRetryMs: 5_000,
} as const;

export const POLICIES = {
  // Large batches wait for each other and give way to small ones: a hundred that an anchor wakes at once take minutes.
  sealBatch: { pool: 'signer', startToCloseMs: 600_000, heartbeatMs: 10_000, ...FAST },
  certifyProofs: { pool: 'signer', startToCloseMs: 600_000, heartbeatMs: 10_000, ...FAST },
  integrateLog: { pool: 'signer', ...LOOP },
  stampLog: { pool: 'timestamp', ...LOOP },
  // Two authorities that hang take 20 s and their lists 10 s.
  renewTokens: { pool: 'timestamp', startToCloseMs: 120_000, ...FAST },
  advanceEvidence: { pool: 'store', startToCloseMs: 120_000, heartbeatMs: 10_000, ...FAST },
  prepareAnchor: { pool: 'ledger', startToCloseMs: 30_000, ...FAST },
  submitAnchor: { pool: 'ledger', startToCloseMs: 60_000, ...FAST },
  awaitAnchorReceipt: { pool: 'ledger', startToCloseMs: 90_000, heartbeatMs: 10_000, ...FAST },
  confirmAnchor: { pool: 'ledger', startToCloseMs: 60_000, ...FAST },
  settleAnchor: { pool: 'ledger', startToCloseMs: 60_000, ...FAST },
  settleContractAnchor: { pool: 'ledger', startToCloseMs: 60_000, ...FAST },
  // One activity from signing to the mirrors' answer: it polls for receipts, and beats.
  anchorInContract: { pool: 'ledger', startToCloseMs: 180_000, heartbeatMs: 60_000, ...FAST },
  importGrant: { pool: 'store', startToCloseMs: 30_000, ...FAST },
  drainLicences: { pool: 'store', startToCloseMs: 120_000, heartbeatMs: 10_000, ...FAST },
  serveWaiting: { pool: 'store', startToCloseMs: 600_000, heartbeatMs: 10_000, ...FAST },
  renewLicences: { pool: 'store', startToCloseMs: 120_000, heartbeatMs: 10_000, ...FAST },
  preparePdf: { pool: 'render', startToCloseMs: 40_000, ...FAST },
  stampPdf: { pool: 'timestamp', startToCloseMs: 40_000, ...FAST },
  storePdf: { pool: 'render', startToCloseMs: 15_000, ...FAST },
  changeOrganisation: { pool: 'store', startToCloseMs: 30_000, ...FAST },
  markServed: { pool: 'store', startToCloseMs: 30_000, ...FAST },
  // One statement over every consumption: it cannot heartbeat.
  checkLicenceCounters: { pool: 'store', startToCloseMs: 660_000, ...FAST },
  checkTopic: { pool: 'ledger', startToCloseMs: 600_000, heartbeatMs: 60_000, ...FAST },
  checkLogTree: { pool: 'store', startToCloseMs: 600_000, heartbeatMs: 60_000, ...FAST },
  recordIntegrity: { pool: 'store', startToCloseMs: 30_000, ...FAST },
} as const satisfies Record<string, ActivityPolicy>;

export type ActivityName = keyof typeof POLICIES;

/** How long a workflow waits before it tries an outside party again, once the fast phase is over. */
export const SLOW_RETRY_MS = 5 * 60_000;

/** A nightly check is given up after this, so that the others get their turn. */
export const CHECK_LIMIT_MS = 4 * 3_600_000;

/** Belt and braces: a batch that waits for a licence looks again by itself after this. */
export const LICENCE_RECHECK_MS = 6 * 3_600_000;
