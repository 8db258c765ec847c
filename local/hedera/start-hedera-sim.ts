/**
 * A Hedera network on this machine: consensus nodes over gRPC, mirrors over REST and gRPC, one ledger behind them.
 * The unmodified SDK talks to it. Listens on loopback alone.
 */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { plainAddresses, tlsAddresses } from './address-book.ts';
import { startAdmin } from './admin.ts';
import { createFaults, type Faults } from './faults.ts';
import { openJournal } from './journal.ts';
import { createLedger, type Ledger } from './ledger.ts';
import { createMirrorControl, type MirrorControl } from './mirror-context.ts';
import { nodeIdentities } from './node-identity.ts';
import type { CallRecord } from './node-server.ts';
import { privateKeyPem } from './random.ts';
import {
  closeServer,
  type MirrorAddress,
  type MirrorPlace,
  type RunningMirror,
  startMirror,
} from './running-mirrors.ts';
import { startNodes } from './running-nodes.ts';
import { publicKeyOf } from './sign-transaction.ts';
import { createSimClock, type SimClock } from './sim-clock.ts';
import { addGenesisAccount, type GenesisAccount, TREASURY } from './state.ts';
import { createTreasury, type Treasury } from './treasury.ts';

export { NODE_PORT } from './running-nodes.ts';

const MIRROR_GRPC_PORT = 5600;
const MIRROR_HOST = 200;
/** From a port base. */
const GRPC_OFFSET = 10;
const ADMIN_OFFSET = 20;
const NODE_OFFSET = 30;
/** Of mirrors on the SDK's own machine: the second has only the fee estimates. */
const SDK_REST_PORTS = [5551, 8084];
const KEPT_CALLS = 10_000;
const MAX_NODES = 30;
const MAX_MIRRORS = 10;

/** What a network that is being set up offers: its nodes answer, its mirrors do not yet. */
export type SettingUp = Pick<HederaSim, 'nodes' | 'treasury' | 'ledger' | 'operatorId' | 'operatorKey'>;

export interface HederaSimOptions {
  /** From ingest to consensus; `manual`: only `tick` brings it. Default 30. */
  readonly consensusDelayMs?: number | 'manual';
  /** From consensus to every mirror. Default 50. */
  readonly mirrorLagMs?: number;
  /** Default 3: accounts 0.0.3 to 0.0.5. At most 30. */
  readonly nodeCount?: number;
  /** Default 2. At most 10. */
  readonly mirrorCount?: number;
  /** Third octet of the addresses `127.0.W.x`; without it the first free one is taken. */
  readonly network?: number;
  /** Puts everything but the nodes at 127.0.0.1: mirror i at this port + i (REST) and + 10 + i (gRPC), the simulator's own
   * interface at + 20; the search for a free octet begins by it. Where nodes get no address of their own, they are at + 30. */
  readonly portBase?: number;
  /** The first mirror's REST interface also where the SDK looks for it on this machine: 127.0.0.1, ports 5551 and 8084. */
  readonly isRestAlsoForSdk?: boolean;
  /** Where the first mirror's REST interface listens; default `127.0.W.200` and any port. */
  readonly mirrorRest?: MirrorAddress;
  /** Keeps the ledger across restarts; without it everything is in memory. */
  readonly dataFolder?: string;
  /** Keys of the network follow from it; without it they are drawn by chance. */
  readonly seed?: string;
  /** Accounts that exist from the start, beside the treasury's. */
  readonly genesis?: readonly GenesisAccount[];
  readonly clock?: SimClock;
  /** Sets the network up before its mirrors answer: whoever waits for them finds it done. */
  readonly setUp?: (network: SettingUp) => Promise<void>;
}

export interface HederaSim {
  /** For `Client.forNetwork`: `127.0.2.3:50211` → `0.0.3`; as the address book is now. */
  readonly nodes: Readonly<Record<string, string>>;
  /** The same nodes' TLS ports, 50212; empty where only 127.0.0.1 exists. */
  readonly tlsNodes: Readonly<Record<string, string>>;
  /** Without a trailing slash or path: `http://127.0.2.200:40001`. */
  readonly mirrorRestUrls: readonly string[];
  /** The first mirror's. */
  readonly mirrorGrpc: string;
  readonly mirrorGrpcAddresses: readonly string[];
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
  /** The last calls that nodes and mirrors answered, oldest first. */
  readonly calls: readonly CallRecord[];
  /** Whether `cryptoGetBalance` answers BUSY, as the network has announced. Settable. */
  areBalancesBusy: boolean;
  /** Takes one node off the network, and puts it back under its address. */
  stopNode(node: string): void;
  startNode(node: string): Promise<void>;
  /** Gives a node another account: whoever still calls it by the old one is told INVALID_NODE_ACCOUNT. */
  renameNode(from: string, to: string): void;
  /** Gives a node another address, which it returns; nobody answers at the old one. */
  moveNode(node: string): Promise<string>;
  stopMirror(instance: number): Promise<void>;
  startMirror(instance: number): Promise<void>;
  tick(): Promise<void>;
  /** An empty ledger, no faults, no calls, mirrors that follow; addresses and keys stay. */
  reset(): void;
  stop(): Promise<void>;
}

export async function startHederaSim(options: HederaSimOptions = {}): Promise<HederaSim> {
  const { nodeCount = 3, mirrorCount = 2, mirrorLagMs = 50, portBase } = options;
  if (nodeCount < 1 || nodeCount > MAX_NODES) throw new RangeError(`a network has 1 to ${MAX_NODES} nodes`);
  if (mirrorCount < 1 || mirrorCount > MAX_MIRRORS) throw new RangeError(`a network has 1 to ${MAX_MIRRORS} mirrors`);
  if (options.mirrorRest !== undefined) refuseOtherThanLoopback(options.mirrorRest.host);
  const clock = options.clock ?? createSimClock();
  const faults = createFaults();
  const journal = openJournal(options.dataFolder, () => ({
    treasuryKey: privateKeyPem(options.seed, 'treasury'),
    startedAtMs: clock.nowMs(),
  }));
  const operatorKey = journal.birth.treasuryKey;
  const ids = Array.from({ length: nodeCount }, (_, i) => `0.0.${3 + i}`);
  const ledger = await createLedger({
    nodes: ids,
    treasuryPublicKey: publicKeyOf(operatorKey),
    genesis: options.genesis ?? [],
    consensusDelayMs: options.consensusDelayMs ?? 30,
    clock,
    faults,
    journal,
  });
  const calls: CallRecord[] = [];
  const record = (call: CallRecord): void => {
    calls.push(call);
    if (calls.length > KEPT_CALLS) calls.shift();
  };
  let areBalancesBusy = false;
  const running = await startNodes({
    identities: await nodeIdentities(nodeCount, clock.nowMs(), options.dataFolder),
    network: options.network,
    searchFrom: Math.floor((portBase ?? process.pid * 100) / 100),
    fallbackPort: portBase === undefined ? 0 : portBase + NODE_OFFSET,
    contextOf: () => ({ ledger, faults, record, areBalancesBusy: () => areBalancesBusy }),
  });
  const { book, network } = running;
  const mirrors: RunningMirror[] = [];
  let admin: Server | undefined;
  const stop = async (): Promise<void> => {
    running.stopAll();
    await Promise.all([
      ...mirrors.map((mirror) => mirror.stop()),
      ...(admin === undefined ? [] : [closeServer(admin)]),
    ]);
    ledger.stop();
  };
  try {
    const treasury = createTreasury(ledger, clock, () => book.nodes[0]?.accountId ?? '', operatorKey);
    await options.setUp?.({ nodes: plainAddresses(book), treasury, ledger, operatorId: TREASURY, operatorKey });
    for (let instance = 0; instance < mirrorCount; instance++) {
      const control = createMirrorControl(mirrorLagMs);
      const context = { state: ledger.state, clock, control, bornAtMs: journal.birth.startedAtMs, book };
      const place = placeOf(options, network, instance);
      mirrors.push(await startMirror({ ledger, context, faults, instance, place, record }));
    }
    const controls = mirrors.map(({ control }) => control);
    const sim: HederaSim = {
      get nodes() {
        return plainAddresses(book);
      },
      get tlsNodes() {
        return tlsAddresses(book);
      },
      mirrorRestUrls: mirrors.map(({ restUrl }) => restUrl),
      mirrorGrpc: mirrors[0]?.grpcAddress ?? '',
      mirrorGrpcAddresses: mirrors.map(({ grpcAddress }) => grpcAddress),
      get adminUrl() {
        const at = admin?.address() as AddressInfo | undefined;
        return at === undefined ? '' : `http://${at.address}:${at.port}`;
      },
      operatorId: TREASURY,
      operatorKey,
      treasury,
      faults,
      clock,
      ledger,
      mirrors: controls,
      calls,
      get areBalancesBusy() {
        return areBalancesBusy;
      },
      set areBalancesBusy(isBusy) {
        areBalancesBusy = isBusy;
      },
      stopNode: (node) => running.stop(node),
      startNode: (node) => running.start(node),
      renameNode(from, to) {
        running.rename(from, to);
        const key = { ed25519: publicKeyOf(operatorKey) };
        if (!ledger.state.accounts.has(to)) addGenesisAccount(ledger.state, { id: to, key, balanceTinybars: 0n });
      },
      moveNode: (node) => running.move(node),
      stopMirror: async (instance) => mirrors[instance]?.stop(),
      startMirror: async (instance) => mirrors[instance]?.start(),
      tick: () => ledger.tick(),
      reset() {
        ledger.reset();
        faults.clear();
        calls.length = 0;
        areBalancesBusy = false;
        for (const control of controls) Object.assign(control, { lagMs: mirrorLagMs, pausedAtMs: undefined });
      },
      stop,
    };
    admin = await startAdmin(
      sim,
      portBase === undefined
        ? { host: mirrorHost(network, 0), port: 0 }
        : { host: '127.0.0.1', port: portBase + ADMIN_OFFSET },
    );
    return sim;
  } catch (error) {
    await stop();
    throw error;
  }
}

function placeOf(options: HederaSimOptions, network: number | undefined, instance: number): MirrorPlace {
  const { portBase, mirrorRest, isRestAlsoForSdk = false } = options;
  const alsoRest =
    isRestAlsoForSdk && instance === 0 ? SDK_REST_PORTS.map((port) => ({ host: '127.0.0.1', port })) : [];
  const host = portBase === undefined ? mirrorHost(network, instance) : '127.0.0.1';
  const rest = { host, port: portBase === undefined ? 0 : portBase + instance };
  const grpcPort = network === undefined ? 0 : MIRROR_GRPC_PORT;
  return {
    rest: (instance === 0 ? mirrorRest : undefined) ?? rest,
    alsoRest,
    grpc: { host, port: portBase === undefined ? grpcPort : portBase + GRPC_OFFSET + instance },
  };
}

const mirrorHost = (network: number | undefined, instance: number): string =>
  network === undefined ? '127.0.0.1' : `127.0.${network}.${MIRROR_HOST + instance}`;

/** A simulation lets anybody who reaches it do anything, so nobody outside this machine shall. */
function refuseOtherThanLoopback(host: string): void {
  if (!/^127(?:\.\d{1,3}){3}$/.test(host)) throw new RangeError(`${host} is not on loopback`);
}
