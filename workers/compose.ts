/** The composition root: which adapters and activities each pool has, built from the configuration. */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import { createCertification } from '../activities/certificates/certify-proofs.ts';
import { createIntegration } from '../activities/integration/integrate-log.ts';
import { type CheckStep, createIntegrityChecks } from '../activities/integrity/check-integrity.ts';
import { createLedgerActivities } from '../activities/ledger/anchor-activities.ts';
import { checkSetup } from '../activities/ledger/check-setup.ts';
import { createContractActivities } from '../activities/ledger/contract-activities.ts';
import { createContractLedger } from '../activities/ledger/contract-ledger.ts';
import { createHederaLedger } from '../activities/ledger/hedera-ledger.ts';
import { resolveAtSigner } from '../activities/ledger/key-resolver.ts';
import {
  type ContractConfig,
  LEDGER_DEFAULTS,
  type LedgerConfig,
  parseLedgerConfig,
} from '../activities/ledger/ledger-config.ts';
import { createMirrorTransport } from '../activities/ledger/mirror-client.ts';
import { createNewestAnchor, type NewestAnchor } from '../activities/ledger/newest-anchor.ts';
import { createNewestEntry } from '../activities/ledger/newest-entry.ts';
import { createTopicWalk } from '../activities/ledger/walk-topic.ts';
import { createLicensing } from '../activities/licences/import-grant.ts';
import { createRendering } from '../activities/rendering/render-activities.ts';
import { createPdfStamping } from '../activities/rendering/stamp-pdf.ts';
import { createRevocationSource } from '../activities/revocation/revocation-source.ts';
import { BEFORE, createGivingLane, type GivingLane, OPEN_LANE } from '../activities/sealing/giving-lane.ts';
import { createSealing } from '../activities/sealing/seal-batch.ts';
import { createSignerClient, type Signer } from '../activities/sealing/signer-client.ts';
import { createEvidenceRenewal } from '../activities/timestamping/renew-evidence.ts';
import { createTimestamping } from '../activities/timestamping/stamp-log.ts';
import { createTsaPool } from '../activities/timestamping/tsa-pool.ts';
import { type Clock, toMicros } from '../domain/clock.ts';
import { ProoflineError } from '../domain/errors.ts';
import type { Lane } from '../domain/lane.ts';
import { createVerificationCache } from '../domain/timestamp/cache.ts';
import { readPem } from '../domain/timestamp/pem.ts';
import { isUnderWay } from '../store/batches.ts';
import { advanceEvidence } from '../store/evidence.ts';
import type { Db } from '../store/pool.ts';
import { readPublishedJwk } from '../store/published-keys.ts';
import { isSerialUnused } from '../store/timestamps.ts';
import { POLICIES, type Pool } from '../workflows/policies.ts';
import type { WorkerConfig } from './config.ts';
import { heartbeat } from './keep-alive.ts';
import { startLoop } from './loop.ts';
import { readTsas } from './read-tsas.ts';
import { watchLedger } from './watch-ledger.ts';
import { compareTsas, watchTsas } from './watch-tsas.ts';

/** So long a small batch is given way: it is through by then, or waits for something else than us. */
const YOUNG_MS = 1_500;
/** How often the clocks of all authorities are compared. */
const COMPARE_EVERY_MS = 5 * 60_000;

// biome-ignore lint/suspicious/noExplicitAny: what Worker.create takes
type Activities = Record<string, (...args: any[]) => Promise<unknown>>;

export interface ComposeDeps {
  readonly config: WorkerConfig;
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Aborted when the process stops, so that the loops of the log end before the grace time does. */
  readonly stopping: AbortSignal;
}

export interface Composed {
  /** By pool; only the pools of the configuration. */
  readonly activities: Readonly<Partial<Record<Pool, Activities>>>;
  /** Where a pool needs it. */
  readonly signer: Signer | undefined;
  close(): Promise<void>;
}

/** Builds the adapters that the process's pools need, and no others: a pool holds no secret of another. */
export async function composeActivities(deps: ComposeDeps): Promise<Composed> {
  const { config, db, clock, logger, stopping } = deps;
  const closers: (() => Promise<void> | void)[] = [];
  const has = (pool: Pool): boolean => config.pools.includes(pool);
  const advance = ({ origin }: { readonly origin: string }): Promise<boolean> =>
    advanceEvidence(db, { origin, now: clock.nowMicros() });
  const all: Activities = {};

  const signer =
    has('signer') || has('ledger') || has('render')
      ? createSignerClient({
          url: config.signerUrl,
          caFile: config.signerCaFile,
          certFile: config.signerCertFile,
          keyFile: config.signerKeyFile,
          clock,
          pins: (kid, version) => readPublishedJwk(db, kid, version),
        })
      : undefined;
  if (signer !== undefined) closers.push(() => signer.close());

  const ledgerConfig =
    config.ledgerFile === undefined ? undefined : parseLedgerConfig(await readFile(config.ledgerFile, 'utf8'));
  const contract = contractOf(config, ledgerConfig);
  const isTopicWritten = config.anchorMode === 'hcs' || config.anchorMode === 'both';
  if (signer !== undefined && has('signer')) {
    const anchors = newestAnchorOf(config, ledgerConfig);
    if (anchors !== undefined) closers.push(() => anchors.close());
    const shared = { db, signer, clock, origin: config.origin };
    const laneBehind = (before: readonly Lane[]): GivingLane =>
      createGivingLane({
        isAwaited: () => isUnderWay(db, before, toMicros(BigInt(clock.nowMs() - YOUNG_MS) * 1000n)),
        elapsedMs: () => performance.now(),
        pause: (ms) => pause(ms, undefined, { signal: stopping }).catch(() => undefined),
        stopping,
      });
    // Whoever waits for a receipt does not wait for the certificates of those before.
    const large = laneBehind(BEFORE.large);
    const lanes = () => ({ prompt: OPEN_LANE, crowd: laneBehind(BEFORE.crowd), large });
    Object.assign(all, createSealing({ ...shared, randomBytes, heartbeat, stopping, lanes: lanes() }));
    Object.assign(all, createCertification({ ...shared, publicUrl: config.publicUrl, heartbeat, lanes: lanes() }));
    Object.assign(
      all,
      createIntegration({
        ...shared,
        logger,
        stopping,
        ...(anchors && { newestAnchor: () => anchors.read() }),
        checkpointIntervalMs: config.checkpointIntervalMs,
        anchorWindows: isTopicWritten
          ? {
              express: config.anchorWindowExpressMs,
              standard: config.anchorWindowStandardMs,
              economy: config.anchorWindowEconomyMs,
            }
          : 'none',
        ...(contract && {
          contractAnchors: { windowMs: config.contractWindowMs, carriesProofs: !isTopicWritten },
        }),
      }),
    );
  }
  const tsas = has('timestamp') || has('render') ? await readTsas(config.tsasFile) : [];
  const revocation =
    tsas.length === 0
      ? undefined
      : createRevocationSource({
          issuers: [await readFile(config.signingRootsFile, 'utf8'), ...tsas.flatMap((tsa) => tsa.roots)],
          clock,
        });
  if (revocation !== undefined) closers.push(() => revocation.close());
  if (has('timestamp')) {
    const pool = createTsaPool({
      tsas,
      clock,
      random: randomBytes,
      isSerialUnused: (tsa, serial) => isSerialUnused(db, tsa, serial),
      onAttempt: watchTsas(logger),
      ...(revocation && { revocation }),
    });
    closers.push(() => pool.close());
    const comparing = startLoop({
      everyMs: COMPARE_EVERY_MS,
      turn: () => compareTsas(pool, logger, stopping),
      onError: (err) => logger.warn({ err }, 'the clocks of timestamp authorities could not be compared'),
    });
    closers.push(() => comparing.stop());
    Object.assign(all, createPdfStamping({ db, pool }));
    Object.assign(
      all,
      createEvidenceRenewal({ db, pool, clock, origin: config.origin }),
      createTimestamping({ db, pool, clock, windowMs: config.timestampWindowMs, stopping, advanceEvidence: advance }),
    );
  }
  if (has('render') && signer !== undefined && revocation !== undefined) {
    const roots = [await readFile(config.signingRootsFile, 'utf8'), ...tsas.flatMap((tsa) => tsa.roots)];
    Object.assign(
      all,
      createRendering({
        db,
        signer,
        revocation,
        roots: roots.flatMap((pem) => readPem(pem, createVerificationCache(16))),
        clock,
        origin: config.origin,
        signerName: config.pdfSignerName,
        tokenReserve: config.pdfTokenReserve,
        graceMs: config.pdfRevocationGraceMs,
        revocationRetryMs: config.pdfRevocationRetryMs,
        renewBeforeMs: config.pdfRenewBeforeDays * 86_400_000,
      }),
    );
  }
  if (has('ledger') && ledgerConfig !== undefined && signer !== undefined) {
    const keys = resolveAtSigner(signer);
    const ledger = createHederaLedger({ config: ledgerConfig, clock, random: Math.random, keys });
    closers.push(() => ledger.close());
    const transport = createMirrorTransport(ledgerConfig.mirrorTimeoutMs ?? LEDGER_DEFAULTS.mirrorTimeoutMs);
    closers.push(() => transport.close());
    const mirrors = ledgerConfig.mirrors.map(transport.mirror);
    const { origin } = config;
    const watch = await watchLedger({
      ...{ db, clock, logger, origin, ledger },
      maxFeeTinybars: ledgerConfig.maxFeeTinybars,
      // Without messages to a topic nothing of it matters.
      checkSetup: async () =>
        isTopicWritten ? checkSetup({ config: ledgerConfig, keys, mirrors }) : { state: 'ok', faults: [], open: [] },
    });
    closers.push(() => watch.stop());
    const gates = { requireSetup: () => watch.requireSetup(), onOutcome: watch.count };
    Object.assign(all, createLedgerActivities({ db, ledger, clock, advanceEvidence: advance, ...gates }));
    if (isTopicWritten)
      Object.assign(all, createTopicWalk({ db, clock, origin, config: ledgerConfig, mirrors, heartbeat }));
    if (contract !== undefined) {
      const registry = createContractLedger({
        config: { ...ledgerConfig, contract },
        clock,
        random: Math.random,
        keys,
      });
      closers.push(() => registry.close());
      Object.assign(all, createContractActivities({ db, ledger: registry, clock, advanceEvidence: advance }));
    }
  }
  // Where no topic is written to there is none to walk.
  if (has('ledger') && all.checkTopic === undefined)
    Object.assign(all, { checkTopic: async (): Promise<CheckStep> => ({ checked: 0, faults: [] }) });
  if (has('store')) {
    const issuers = await readFile(config.licenseIssuersFile, 'utf8');
    Object.assign(
      all,
      createLicensing({
        db,
        clock,
        issuers,
        instance: config.instance,
        origin: config.origin,
        publicUrl: config.publicUrl,
        heartbeat,
      }),
    );
    Object.assign(all, createIntegrityChecks({ db, clock, origin: config.origin, heartbeat }));
  }

  const activities: Partial<Record<Pool, Activities>> = {};
  for (const [name, { pool }] of Object.entries(POLICIES)) {
    const activity = all[name];
    if (activity !== undefined && has(pool)) activities[pool] = { ...activities[pool], [name]: activity };
  }
  return {
    activities,
    signer,
    async close() {
      for (const close of closers.reverse()) await close();
    },
  };
}

/** Where the ledger remembers the log's newest tree; the topic where both do, which is the first to have it. */
function newestAnchorOf(worker: WorkerConfig, ledger: LedgerConfig | undefined): NewestAnchor | undefined {
  if (ledger === undefined || worker.anchorMode === 'none') return undefined;
  const contract = worker.anchorMode === 'contract' ? contractOf(worker, ledger) : undefined;
  return contract === undefined
    ? createNewestAnchor(ledger, worker.origin)
    : createNewestEntry({ ...ledger, contract }, worker.origin);
}

/** The registry contract, where the mode asks for it. Throws CONFIG_INVALID if the ledger file names none. */
function contractOf({ anchorMode }: WorkerConfig, ledger: LedgerConfig | undefined): ContractConfig | undefined {
  if (anchorMode !== 'contract' && anchorMode !== 'both') return undefined;
  if (ledger?.contract === undefined)
    throw new ProoflineError(
      'CONFIG_INVALID',
      `PROOFLINE_ANCHOR_MODE=${anchorMode} wants a contract in the ledger file`,
    );
  return ledger.contract;
}
