/**
 * The nodes of a network on their sockets. One loopback address per node, always port 50211 (50212 for TLS): the SDK drops
 * nodes on other ports when it refreshes its address book. Where only 127.0.0.1 exists, e.g. on macOS, every node has a
 * port of its own there, and no TLS.
 */
import { createServer as createSocketServer } from 'node:net';
import { type AddressBook, type BookNode, createAddressBook } from './address-book.ts';
import type { NodeIdentity } from './node-identity.ts';
import { type Listener, type NodeContext, startNodeServer } from './node-server.ts';

export const NODE_PORT = 50211;
export const NODE_TLS_PORT = 50212;
const FIRST_NODE_NUM = 3;
const FIRST_OCTET = 20;
const OCTETS = 200;
/** Last numbers of addresses: nodes from 3, mirrors at 200. */
const FIRST_SPARE_HOST = 100;

export interface RunningNodes {
  readonly book: AddressBook;
  /** Third octet of the addresses; undefined where only 127.0.0.1 exists. */
  readonly network: number | undefined;
  stop(accountId: string): void;
  /** Under its address again. */
  start(accountId: string): Promise<void>;
  /** Gives a node another account: whoever still calls it by the old one is told INVALID_NODE_ACCOUNT. */
  rename(from: string, to: string): void;
  /** Gives a node another address; nobody answers at the old one. Returns the new one with its port. */
  move(accountId: string): Promise<string>;
  stopAll(): void;
}

export interface RunningNodesOptions {
  readonly identities: readonly NodeIdentity[];
  /** Third octet of the addresses; without it the first free one. */
  readonly network: number | undefined;
  /** Where the search for a free octet begins. */
  readonly searchFrom: number;
  /** Of the first node, where only 127.0.0.1 exists; 0: any. */
  readonly fallbackPort: number;
  readonly contextOf: (node: BookNode) => Omit<NodeContext, 'accountId' | 'die'>;
}

export async function startNodes(options: RunningNodesOptions): Promise<RunningNodes> {
  const nodes: BookNode[] = options.identities.map((identity, index) => ({
    index,
    identity,
    accountId: `0.0.${FIRST_NODE_NUM + index}`,
    host: '',
    port: 0,
    tlsPort: undefined,
  }));
  const running = new Map<BookNode, () => void>();
  const book = createAddressBook(nodes);
  const stop = (node: BookNode): void => {
    running.get(node)?.();
    running.delete(node);
  };
  const start = async (node: BookNode): Promise<void> => {
    const { host, port, tlsPort, identity } = node;
    const listeners: Listener[] = [{ host, port }];
    if (tlsPort !== undefined) listeners.push({ host, port: tlsPort, tls: identity });
    const context = { ...options.contextOf(node), accountId: () => node.accountId, die: () => stop(node) };
    const server = await startNodeServer(context, listeners);
    node.port = server.ports[0] ?? port;
    running.set(node, server.stop);
  };
  const wanted = (accountId: string): BookNode => {
    const node = book.find(accountId);
    if (node === undefined) throw new Error(`no node ${accountId}`);
    return node;
  };
  const network = await bindAll(nodes, options, start, stop);

  return {
    book,
    network,
    stop: (accountId) => stop(wanted(accountId)),
    async start(accountId) {
      const node = wanted(accountId);
      if (!running.has(node)) await start(node);
    },
    rename(from, to) {
      const node = wanted(from);
      if (book.find(to) !== undefined) throw new Error(`there is a node ${to} already`);
      node.accountId = to;
    },
    async move(accountId) {
      const node = wanted(accountId);
      if (network === undefined) throw new Error('there is only one loopback address here');
      stop(node);
      for (let last = FIRST_SPARE_HOST; ; last++) {
        const host = `127.0.${network}.${last}`;
        if (nodes.some((other) => other.host === host) || (await probe(host, node.port)) !== 'free') continue;
        node.host = host;
        await start(node);
        return `${host}:${node.port}`;
      }
    },
    stopAll() {
      for (const node of nodes) stop(node);
    },
  };
}

/** Sets every node's address and starts it; resolves to the octet taken. */
async function bindAll(
  nodes: readonly BookNode[],
  { network, searchFrom, fallbackPort }: RunningNodesOptions,
  start: (node: BookNode) => Promise<void>,
  stop: (node: BookNode) => void,
): Promise<number | undefined> {
  const candidates =
    network === undefined
      ? Array.from({ length: OCTETS }, (_, i) => FIRST_OCTET + ((searchFrom + i) % OCTETS))
      : [network];
  const tryAll = async (): Promise<'bound' | 'taken' | 'no-such-address'> => {
    for (const node of nodes) {
      const free = await probe(node.host, node.port);
      if (free === 'free' && (await start(node).then(isDone, isFailed))) continue;
      for (const other of nodes) stop(other);
      return free === 'free' ? 'taken' : free;
    }
    return 'bound';
  };
  for (const octet of candidates) {
    for (const node of nodes) {
      node.host = `127.0.${octet}.${FIRST_NODE_NUM + node.index}`;
      node.port = NODE_PORT;
      node.tlsPort = NODE_TLS_PORT;
    }
    const result = await tryAll();
    if (result === 'bound') return octet;
    if (result === 'no-such-address') break;
    if (network !== undefined) throw new Error(`127.0.${network}.${FIRST_NODE_NUM}:${NODE_PORT} is taken`);
  }
  for (const node of nodes) {
    const port = fallbackPort === 0 ? 0 : fallbackPort + node.index;
    Object.assign(node, { host: '127.0.0.1', port, tlsPort: undefined });
  }
  const result = await tryAll();
  if (result !== 'bound') throw new Error(`no address for the simulated nodes: ${result}`);
  return undefined;
}

const isDone = (): boolean => true;
const isFailed = (): boolean => false;

/** Asked beforehand, because grpc-js prints an error of its own and hides the reason. */
function probe(host: string, port: number): Promise<'free' | 'taken' | 'no-such-address'> {
  return new Promise((resolve) => {
    const socket = createSocketServer();
    socket.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code === 'EADDRNOTAVAIL' ? 'no-such-address' : 'taken'),
    );
    socket.listen(port, host, () => socket.close(() => resolve('free')));
  });
}
