/** How long the payer's account lasts at the present pace. */

export interface Spending {
  /** In the last 24 hours. */
  readonly anchors: number;
  readonly feeTinybars: bigint;
}

/**
 * Days until the account is empty: its balance over what the last day cost. A day without anchors counts as one at the
 * cap of a fee, so that the figure is never without end, and never too good.
 */
export function payerRunwayDays(balanceTinybars: bigint, spent: Spending, maxFeeTinybars: bigint): number {
  const perDay = spent.anchors === 0 || spent.feeTinybars === 0n ? maxFeeTinybars : spent.feeTinybars;
  return Number((balanceTinybars * 1_000n) / perDay) / 1_000;
}
