/**
 * `npm run hedera-sim -- --port-base N`: a simulated Hedera network for whoever wants to talk to one. Prints one line of
 * JSON once everything answers: nodes and their accounts, the first mirror, an account that pays, its key (DER, hex) and
 * the chain id of its EVM; beside them the nodes' TLS ports, every mirror, and the address of the fault interface.
 * SIGTERM and SIGINT end it. Two of them with port bases at least 100 apart run side by side.
 */
import { createPrivateKey } from 'node:crypto';
import { parseArgs } from 'node:util';
import { createSimClock } from './sim-clock.ts';
import { type HederaSim, type HederaSimOptions, startHederaSim } from './start-hedera-sim.ts';

/** What local networks of this kind call themselves. */
const CHAIN_ID = 298;
const PARENT_CHECK_MS = 200;

const USAGE = `npm run hedera-sim -- --port-base N [options]
  --port-base N              mirrors from N (REST) and N+10 (gRPC), the fault interface at N+20; nodes have addresses of their own
  --nodes N                  consensus nodes (3)
  --mirrors N                mirrors (2)
  --consensus-delay-ms N     from a node to consensus (30); "manual": only POST /tick brings it
  --mirror-lag-ms N          from consensus to the mirrors (50)
  --clock manual             time stands still but for POST /clock
  --seed TEXT                the operator's key follows from it
  --data-folder PATH         keeps the ledger across restarts
  --sdk-rest                 the first mirror also at 127.0.0.1:5551 and :8084, where the SDK looks for REST`;

function readOptions(args: readonly string[]): HederaSimOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      'port-base': { type: 'string' },
      nodes: { type: 'string', default: '3' },
      mirrors: { type: 'string', default: '2' },
      'consensus-delay-ms': { type: 'string', default: '30' },
      'mirror-lag-ms': { type: 'string', default: '50' },
      clock: { type: 'string', default: 'wall' },
      seed: { type: 'string' },
      'data-folder': { type: 'string' },
      'sdk-rest': { type: 'boolean', default: false },
    },
  });
  const { seed, clock, 'data-folder': dataFolder, 'consensus-delay-ms': delay } = values;
  if (values['port-base'] === undefined) throw new Error('--port-base is missing');
  if (clock !== 'wall' && clock !== 'manual') throw new Error('--clock is wall or manual');
  return {
    portBase: readNumber('--port-base', values['port-base'], 1_024, 65_400),
    nodeCount: readNumber('--nodes', values.nodes, 1, 30),
    mirrorCount: readNumber('--mirrors', values.mirrors, 1, 10),
    consensusDelayMs: delay === 'manual' ? delay : readNumber('--consensus-delay-ms', delay, 0, 600_000),
    mirrorLagMs: readNumber('--mirror-lag-ms', values['mirror-lag-ms'], 0, 3_600_000),
    clock: createSimClock(Date.now, clock),
    isRestAlsoForSdk: values['sdk-rest'],
    ...(seed === undefined ? {} : { seed }),
    ...(dataFolder === undefined ? {} : { dataFolder }),
  };
}

function readNumber(name: string, text: string, least: number, most: number): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most)) throw new Error(`${name} is a number from ${least} to ${most}`);
  return value;
}

function describe(sim: HederaSim): Record<string, unknown> {
  const der = createPrivateKey(sim.operatorKey).export({ format: 'der', type: 'pkcs8' });
  return {
    nodes: sim.nodes,
    mirrorGrpc: sim.mirrorGrpc,
    mirrorRest: sim.mirrorRestUrls[0],
    operatorId: sim.operatorId,
    operatorKey: der.toString('hex'),
    chainId: CHAIN_ID,
    tlsNodes: sim.tlsNodes,
    mirrors: sim.mirrorRestUrls.map((rest, i) => ({ rest, grpc: sim.mirrorGrpcAddresses[i] })),
    admin: sim.adminUrl,
  };
}

function fail(error: unknown): never {
  process.stderr.write(`${error instanceof Error ? error.message : 'cannot start'}\n\n${USAGE}\n`);
  process.exit(2);
}

if (process.env.NODE_ENV === 'production') fail(new Error('the simulated ledger does not run in production'));
/** Whoever stops it while it starts is heard too. */
let running: Promise<HederaSim> | undefined;
let isStopping = false;
const stop = (): void => {
  if (isStopping) return;
  isStopping = true;
  if (running === undefined) process.exit(0);
  running
    .then((sim) => sim.stop())
    .then(
      () => process.exit(0),
      () => process.exit(1),
    );
};
process.on('SIGTERM', stop);
process.on('SIGINT', stop);
// npm passes a signal to its shell alone, which dies of it and leaves us behind.
const parent = process.ppid;
if (process.env.npm_lifecycle_event !== undefined)
  setInterval(() => {
    if (process.ppid !== parent) stop();
  }, PARENT_CHECK_MS).unref();
try {
  running = startHederaSim(readOptions(process.argv.slice(2)));
  const sim = await running;
  if (!isStopping) process.stdout.write(`${JSON.stringify(describe(sim))}\n`);
} catch (error) {
  fail(error);
}
