/** How an anchor's ledger is spoken of: what is no main network must never read as one, wherever it is shown. */

/** The public networks of Hedera that prove nothing: anybody may reset them. */
const TEST_NETWORKS: readonly string[] = ['testnet', 'previewnet'];

/** What a reader must know of a network before anything else; undefined for the main network. */
export function ledgerNotice(network: string): string | undefined {
  if (network === 'mainnet') return undefined;
  return TEST_NETWORKS.includes(network)
    ? 'a test network, reset from time to time: it proves nothing in law'
    : 'not a public network: it proves nothing to others';
}

/** The network's name with that notice: `mainnet`, `testnet (a test network, …)`, `simulator (not a public network, …)`. */
export function describeNetwork(network: string): string {
  const notice = ledgerNotice(network);
  return notice === undefined ? network : `${network} (${notice})`;
}

/** The page of a message on an explorer of that network, by its consensus timestamp: the only unambiguous name. */
export function explorerLink(explorer: string, network: string, consensusTimestamp: string): string {
  return `${explorer}/${network}/transaction/${consensusTimestamp}`;
}

export interface AnchorCost {
  /** Decimal: what the one message cost. */
  readonly feeTinybars: string;
  /** Leaves that no earlier anchor covered. */
  readonly sharedBy: string;
  /** Decimal with four digits after the point, rounded up; the whole fee where nothing new was covered. */
  readonly tinybarsPerProof: string;
}

export function anchorCost(feeTinybars: bigint, newLeaves: bigint): AnchorCost {
  const shares = newLeaves > 0n ? newLeaves : 1n;
  const perProof = (feeTinybars * 10_000n + shares - 1n) / shares;
  const fraction = (perProof % 10_000n).toString().padStart(4, '0');
  return {
    feeTinybars: feeTinybars.toString(),
    sharedBy: newLeaves.toString(),
    tinybarsPerProof: `${perProof / 10_000n}.${fraction}`,
  };
}
