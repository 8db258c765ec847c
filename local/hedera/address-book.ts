/**
 * Which nodes the network has, by their accounts and addresses, as mirrors tell it. Changing it is how a test makes a
 * client's own list out of date: a node under another account answers INVALID_NODE_ACCOUNT, one that moved not at all.
 */
import type { NodeIdentity } from './node-identity.ts';

export interface BookNode {
  /** Position since the network's birth; stays when the account or the address changes. */
  readonly index: number;
  readonly identity: NodeIdentity;
  accountId: string;
  host: string;
  port: number;
  /** Undefined where TLS is not served. */
  tlsPort: number | undefined;
}

export interface AddressBook {
  readonly nodes: readonly BookNode[];
  find(accountId: string): BookNode | undefined;
}

export function createAddressBook(nodes: readonly BookNode[]): AddressBook {
  return { nodes, find: (accountId) => nodes.find((node) => node.accountId === accountId) };
}

/** For `Client.forNetwork`: `127.0.2.3:50211` → `0.0.3`. */
export function plainAddresses({ nodes }: AddressBook): Record<string, string> {
  return Object.fromEntries(nodes.map(({ host, port, accountId }) => [`${host}:${port}`, accountId]));
}

/** As `plainAddresses`, of the TLS ports; empty where TLS is not served. */
export function tlsAddresses({ nodes }: AddressBook): Record<string, string> {
  return Object.fromEntries(
    nodes.flatMap(({ host, tlsPort, accountId }) => (tlsPort === undefined ? [] : [[`${host}:${tlsPort}`, accountId]])),
  );
}
