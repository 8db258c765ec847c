/**
 * A Hedera network on this machine: consensus nodes over gRPC, mirrors over REST and gRPC, one ledger behind them.
 * The unmodified SDK talks to it. Listens on loopback alone.
 */
import type { Server } from 'node:http';
import { type AddressInfo, createServer as createSocketServer } from 'node:net';
import { startAdmin } from './admin.ts';
import { createFaults, type Faults } from './faults.ts';
import { openJournal } from './journal.ts';
import { createLedger, type Ledger } from './ledger.ts';
import { startMirrorGrpc } from './mirror-grpc.ts';
import { startMirrorRest } from './mirror-rest.ts';
import type { MirrorControl } from './mirror-view.ts';
import { type CallRecord, startNodeServer } from './node-server.ts';
import { createSimClock, type SimClock } from './sim-clock.ts';
import { TREASURY } from './state.ts';
import { createTreasury, newTreasuryKeyPem, publicKeyOf, type Treasury } from './treasury.ts';

export const NODE_PORT = 50211;
const MIRROR_GRPC_PORT = 5600;
const KEPT_CALLS = 1_000;
const FIRST_NODE_NUM = 3;

export interface HederaSimOptions {
  /** From ingest to consensus; `manual`: only `tick` brings it. Default 3,000, as on mainnet. */
  readonly consensusDelayMs?: number | 'manual';
  /** From consensus to every mirror. Default 50. */
  readonly mirrorLagMs?: number;
  /** Default 3: accounts 0.0.3 to 0.0.5. */
  readonly nodeCount?: number;
  /** Default 1. */
  readonly mirrorCount?: number;
  /** Third octet of the addresses `127.0.W.x`; without it the first free one is taken. */
  readonly network?: number;
  /** Where the first mirror's REST interface listens; default `127.0.W.200` and any port. */
  readonly mirrorRest?: { readonly host: string; readonly port: number };
  /** Keeps the ledger across restarts; without it everything is in memory. */
  readonly dataFolder?: string;
  readonly clock?: SimClock;
  /** Sets the network up before its mirrors answer: whoever waits for them finds it done. */
  readonly setUp?: (network: Pick<HederaSim, 'nodes' | 'treasury' | 'ledger'>) => Promise<void>;
}

export interface HederaSim {
  /** For `Client.forNetwork`: `127.0.2.3:50211` → `0.0.3`. */
  readonly nodes: Readonly<Record<string, string>>;
  /** Without a trailing slash or path: `http://127.0.2.200:40001`. */
  readonly mirrorRestUrls: readonly string[];
  readonly mirrorGrpc: string;
  readonly adminUrl: string;
  /** The treasury, with more hbar than anybody needs. */
  readonly operatorId: string;
  /** PKCS #8 PEM, Ed25519. */
  readonly operatorKey: string;
  readonly treasury: Treasury;
  readonly faults: Faults;
  readonly clock: SimClock;
  readonly ledger: Ledger;
  readonly mirrors: readonly MirrorControl[];
  /** The last calls that consensus nodes answered, oldest first. */
  readonly calls: readonly CallRecord[];
  /** Takes one node off the network, and puts it back under its address. */
  stopNode(node: string): void;
  startNode(node: string): Promise<void>;
  tick(): void;
  stop(): Promise<void>;
}

export async function startHederaSim(options: HederaSimOptions = {}): Promise<HederaSim> {
  const clock = options.clock ?? createSimClock();
  const faults = createFaults();
  const journal = openJournal(options.dataFolder, () => ({
    treasuryKey: newTreasuryKeyPem(),
    startedAtMs: clock.nowMs(),
  }));
  const operatorKey = journal.birth.treasuryKey;
  const ids = Array.from({ length: options.nodeCount ?? 3 }, (_, i) => `0.0.${FIRST_NODE_NUM + i}`);
  const ledger = createLedger({
    nodes: ids,
    treasuryPublicKey: publicKeyOf(operatorKey),
    consensusDelayMs: options.consensusDelayMs ?? 3_000,
    clock,
    faults,
    journal,
  });
  const calls: CallRecord[] = [];
  const record = (call: CallRecord): void => {
    calls.push(call);
    if (calls.length > KEPT_CALLS) calls.shift();
  };
  const start = (id: string, host: string, port: number) => startNodeServer({ ledger, faults, record }, id, host, port);

  const { addresses, running, network } = await bindNodes(ids, options.network, start);
  const nodes = Object.fromEntries([...addresses].map(([id, address]) => [address, id]));
  const mirrors: MirrorControl[] = Array.from({ length: options.mirrorCount ?? 1 }, () => ({
    lagMs: options.mirrorLagMs ?? 50,
    pausedAtMs: undefined,
  }));
  const mirrorHost = network === undefined ? '127.0.0.1' : `127.0.${network}.200`;
  const contexts = mirrors.map((control) => ({
    state: ledger.state,
    clock,
    control,
    bornAtMs: journal.birth.startedAtMs,
    nodes: addresses,
  }));
  const treasury = createTreasury(ledger, clock, ids[0] ?? '', operatorKey);
  await options.setUp?.({ nodes, treasury, ledger });
  const rest: Server[] = [];
  for (const [i, context] of contexts.entries()) {
    const at = (i === 0 ? options.mirrorRest : undefined) ?? { host: mirrorHost, port: 0 };
    rest.push(await startMirrorRest(context, faults, i, at.host, at.port));
  }
  const [firstContext] = contexts;
  if (firstContext === undefined) throw new RangeError('a network needs a mirror');
  const grpc = await startMirrorGrpc(ledger, firstContext, mirrorHost, network === undefined ? 0 : MIRROR_GRPC_PORT);
  const admin = await startAdmin({ clock, faults, mirrors, calls, state: ledger.state, treasury, nodes }, mirrorHost);

  return {
    nodes,
    mirrorRestUrls: rest.map(urlOf),
    mirrorGrpc: `${mirrorHost}:${grpc.port}`,
    adminUrl: urlOf(admin),
    operatorId: TREASURY,
    operatorKey,
    treasury,
    faults,
    clock,
    ledger,
    mirrors,
    calls,
    stopNode(node) {
      running.get(node)?.stop();
      running.delete(node);
    },
    async startNode(node) {
      const [host, port] = (addresses.get(node) ?? '').split(':');
      if (host === undefined || port === undefined || running.has(node)) return;
      running.set(node, await start(node, host, Number(port)));
    },
    tick: () => ledger.tick(),
    async stop() {
      for (const server of running.values()) server.stop();
      grpc.stop();
      await Promise.all([...rest, admin].map(closeServer));
      ledger.stop();
    },
  };
}

interface BoundNodes {
  readonly addresses: ReadonlyMap<string, string>;
  readonly running: Map<string, { stop: () => void }>;
  /** Undefined where only 127.0.0.1 exists, e.g. on macOS: then every node has a port of its own. */
  readonly network: number | undefined;
}

/** One loopback address per node, always port 50211: the SDK drops nodes on other ports when it updates its address book. */
async function bindNodes(
  ids: readonly string[],
  wanted: number | undefined,
  start: (id: string, host: string, port: number) => Promise<{ port: number; stop: () => void }>,
): Promise<BoundNodes> {
  const offset = process.pid % 200;
  const candidates = wanted === undefined ? Array.from({ length: 200 }, (_, i) => 20 + ((offset + i) % 200)) : [wanted];
  for (const network of candidates) {
    const bound = await bindAll(ids, (i) => `127.0.${network}.${FIRST_NODE_NUM + i}`, NODE_PORT, start);
    if (bound === 'no-such-address') break;
    if (bound !== 'taken') return { ...bound, network };
    if (wanted !== undefined) throw new Error(`127.0.${network}.${FIRST_NODE_NUM}:${NODE_PORT} is taken`);
  }
  const bound = await bindAll(ids, () => '127.0.0.1', 0, start);
  if (typeof bound === 'string') throw new Error(`no address for the simulated nodes: ${bound}`);
  return { ...bound, network: undefined };
}

async function bindAll(
  ids: readonly string[],
  hostOf: (i: number) => string,
  port: number,
  start: (id: string, host: string, port: number) => Promise<{ port: number; stop: () => void }>,
): Promise<Omit<BoundNodes, 'network'> | 'taken' | 'no-such-address'> {
  const addresses = new Map<string, string>();
  const running = new Map<string, { stop: () => void }>();
  for (const [i, id] of ids.entries()) {
    const free = await probe(hostOf(i), port);
    const server = free === 'free' ? await start(id, hostOf(i), port).catch(() => undefined) : undefined;
    if (server === undefined) {
      for (const other of running.values()) other.stop();
      return free === 'free' ? 'taken' : free;
    }
    running.set(id, server);
    addresses.set(id, `${hostOf(i)}:${server.port}`);
  }
  return { addresses, running };
}

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

function urlOf(server: Server): string {
  const { address, port } = server.address() as AddressInfo;
  return `http://${address}:${port}`;
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
