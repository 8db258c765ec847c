/** One storm over a whole system, from its start to the judgement; leaves nothing behind. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseTrustDocument } from '../../domain/trust-parse.ts';
import { startStack } from '../../local/stack/start-stack.ts';
import { createPool, type Db } from '../../store/pool.ts';
import { audit } from './audit.ts';
import { startClients } from './clients.ts';
import { type Blows, disturb } from './disturb.ts';
import { familyOf, signalProcess } from './processes.ts';
import { createRandom } from './random.ts';
import { createTenants, grantTheRest } from './tenants.ts';
import { watchLog } from './watch-log.ts';

export interface ChaosOptions {
  readonly seed: number;
  readonly durationMs: number;
  /** After the storm all work must be done within this. */
  readonly settleMs: number;
  readonly say: (line: string) => void;
  /** Keep logs and database here after a fault; default: a folder that is removed. */
  readonly keepDir?: string;
}

export interface ChaosReport {
  readonly seed: number;
  readonly durationMs: number;
  readonly settledMs: number;
  readonly repeated: number;
  readonly blows: ReadonlyMap<string, Blows>;
  readonly figures: Readonly<Record<string, number>>;
  /** Empty: all promises were kept. */
  readonly faults: readonly string[];
}

export async function runChaos({ seed, durationMs, settleMs, say, keepDir }: ChaosOptions): Promise<ChaosReport> {
  const random = createRandom(seed);
  const dataDir = keepDir ?? (await mkdtemp(join(tmpdir(), 'proofline-chaos-')));
  const stack = await startStack({
    dataDir,
    ports: 'any',
    splitPools: true,
    logLevel: 'warn',
    consensusDelayMs: 300,
    settings: {
      workers: { PROOFLINE_ANCHOR_WINDOW_EXPRESS_MS: '1000' },
      relay: { PROOFLINE_RECONCILE_MS: '5000', PROOFLINE_RECONCILE_GRACE_MS: '10000' },
    },
    onState: (name, state, detail) => {
      if (state === 'down') say(`${name} is down (${detail.split('\n')[0]})`);
    },
  });
  const owner = createPool({
    url: stack.info.postgresUrl,
    max: 4,
    applicationName: 'chaos',
    statementTimeoutMs: 900_000,
    onError: () => {},
  });
  const faults: string[] = [];
  let family: readonly number[] = [];
  try {
    const tenants = await createTenants(stack, owner, dataDir);
    const trust = parseTrustDocument(await (await fetch(`${stack.info.apiUrl}/.well-known/proofline.json`)).text());
    say(`up at ${stack.info.apiUrl}; ${durationMs / 1_000} s of storm, seed ${seed}`);
    const watch = watchLog(stack.info.apiUrl, trust);
    const clients = startClients(stack.info.apiUrl, tenants, random.fork('clients'));
    const disturbance = disturb(stack.parts, random.fork('disturbance'), say);
    await delay(durationMs);
    const blows = await disturbance.stop();
    say('the storm is over');
    const calmAt = Date.now();
    await clients.finish(settleMs);
    await grantTheRest(stack, tenants, dataDir);
    const unsettled = await untilSettled(owner, settleMs, say);
    const settledMs = Date.now() - calmAt;
    if (unsettled !== undefined) faults.push(`not settled after ${settleMs} ms: ${unsettled}`);
    await watch.stop();
    const { acknowledged } = clients;
    const judged = await audit({ stack, owner, dataDir, acknowledged, seen: watch.seen, random: random.fork('audit') });
    faults.push(...clients.faults, ...watch.faults, ...judged.faults);
    family = familyOf(process.pid).slice(1);
    return { seed, durationMs, settledMs, repeated: clients.repeated(), blows, figures: judged.figures, faults };
  } finally {
    await owner.end();
    await stack.stop();
    const left = family.filter((pid) => signalProcess(pid, 0));
    if (left.length > 0) faults.push(`processes ${left.join(', ')} are left`);
    if (keepDir === undefined) await rm(dataDir, { recursive: true, force: true });
  }
}

const OPEN = `
  SELECT (SELECT count(*)::int FROM proofs WHERE state NOT IN ('CERTIFIED', 'CERTIFIED_NO_ANCHOR')) AS proofs,
    (SELECT count(*)::int FROM batches WHERE state <> 'CLOSED') AS batches, (SELECT count(*)::int FROM anchors WHERE state <> 'VERIFIED') AS anchors,
    (SELECT count(*)::int FROM outbox) AS motion, (SELECT count(*)::int FROM batch_wakes) AS wakes, (SELECT count(*)::int FROM log_head WHERE note IS NULL) AS unsigned`;

/** Undefined once nothing is open; else, after `withinMs`, what still is. */
async function untilSettled(owner: Db, withinMs: number, say: (line: string) => void): Promise<string | undefined> {
  const deadline = Date.now() + withinMs;
  let told = '';
  for (;;) {
    const { rows } = await owner.query<Record<string, number>>(OPEN);
    const open = Object.entries(rows[0] ?? {}).filter(([, count]) => count > 0);
    if (open.length === 0) return undefined;
    const words = open.map(([what, count]) => `${count} ${what}`).join(', ');
    if (Date.now() > deadline) return words;
    if (words !== told) say(`open: ${words}`);
    told = words;
    await delay(1_000);
  }
}
