/**
 * The whole system on one machine, each part a process of its own, supervised: a part that dies is back within five
 * seconds under the same address. Used by `npm start`, by the demonstration and by end-to-end tests.
 */
import { chmod, mkdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { systemClock } from '../../domain/clock.ts';
import type { TenantId } from '../../domain/ids.ts';
import { migrate } from '../../prisma/migrate.ts';
import { applySchedules } from '../../temporal-config/apply-schedules.ts';
import { readSearchAttributes } from '../../temporal-config/search-attributes.ts';
import { ensureLocalKeys } from '../keys/ensure-local-keys.ts';
import { type Postgres, startPostgres } from '../postgres/start-postgres.ts';
import { importLocalLicence, seedTenantAndKeys } from '../seed-local.ts';
import { resolveTemporalCli } from '../temporal/resolve-cli.ts';
import { startTemporal, type Temporal } from '../temporal/start-temporal.ts';
import { keepCrlPort, nameCrlBase } from './crl-port.ts';
import { lockData } from './data-lock.ts';
import { type Guard, startGuard } from './guard.ts';
import { fetchTrust, type LocalInfo, localInfo } from './local-info.ts';
import { startLedger } from './local-ledger.ts';
import {
  apiPart,
  apiUrl,
  crlPart,
  DATABASE,
  type PartContext,
  relayPart,
  type ServerContext,
  signerPart,
  tsaPart,
  tsaSecondPart,
  workerParts,
} from './local-parts.ts';
import { type PartSpec, type RunningPart, type RunOptions, runPart } from './part.ts';
import { requireFreePorts } from './ports.ts';
import { type LocalSecrets, readOrMakeSecrets } from './secrets.ts';
import { choosePoolPorts, choosePorts, type StackPorts } from './stack-ports.ts';
import { writeTsasFile } from './tsas-file.ts';
import { writeAtomically } from './write-atomically.ts';

export interface StackOptions {
  /** Holds everything: database, keys, logs, local.json. Kept over restarts. */
  readonly dataDir: string;
  /** Added to every default port, or `any`: free ones. Default 0. */
  readonly ports?: number | 'any';
  /** One worker process a pool. */
  readonly splitPools?: boolean;
  readonly logLevel?: string;
  /** From submission to consensus on the simulated ledger. Default 3,000. */
  readonly consensusDelayMs?: number;
  /** Where checkpoints are anchored; with `both` and `contract` the registry contract is deployed first. Default `hcs`. */
  readonly anchorMode?: 'none' | 'hcs' | 'contract' | 'both';
  /** More settings for a part, by its name; for every worker process: `workers`. */
  readonly settings?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** More settings of the database server, e.g. `shared_preload_libraries`. */
  readonly postgresSettings?: Readonly<Record<string, string>>;
  readonly onState?: RunOptions['onState'];
  readonly onProgress?: (line: string) => void;
  /** Ends the start: what was started by then is stopped, and `startStack` throws. */
  readonly signal?: AbortSignal;
}

export interface Stack {
  readonly dataDir: string;
  /** What local.json holds. */
  readonly info: LocalInfo;
  readonly tenant: TenantId;
  /** Parts by name, in the order of their start. */
  readonly parts: ReadonlyMap<string, RunningPart>;
  /** Ends every part, last started first, and leaves no process. Repeatable. */
  stop(): Promise<void>;
}

/**
 * Starts everything and resolves once the API answers and the local licence is imported. Throws, with nothing left
 * running, when ports or data are in use or a part does not start.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const dataDir = resolve(options.dataDir);
  const unlock = await lockData(dataDir);
  const guard = startGuard();
  const parts = new Map<string, RunningPart>();
  const stop = async (): Promise<void> => {
    for (const part of [...parts.values()].reverse()) await part.stop();
    await guard.close();
    await rm(join(dataDir, 'local.json'), { force: true });
    await unlock();
  };
  try {
    const ports = await keepCrlPort(dataDir, await choosePorts(options.ports ?? 0));
    await requireFreePorts(ports);
    options.signal?.throwIfAborted();
    const aborted = new Promise<never>((_resolve, reject) => {
      options.signal?.addEventListener('abort', () => reject(options.signal?.reason), { once: true });
    });
    return await Promise.race([boot({ options, dataDir, ports, guard, parts, stop }), aborted]);
  } catch (fault) {
    await stop();
    throw fault;
  }
}

interface Boot {
  readonly options: StackOptions;
  readonly dataDir: string;
  readonly ports: StackPorts;
  readonly guard: Guard;
  readonly parts: Map<string, RunningPart>;
  readonly stop: () => Promise<void>;
}

async function boot({ options, dataDir, ports, guard, parts, stop }: Boot): Promise<Stack> {
  await nameCrlBase(dataDir, ports);
  const keys = await ensureLocalKeys(join(dataDir, 'keys'), systemClock());
  const secrets = await readOrMakeSecrets(dataDir);
  // The database's files belong to another user when this is root, who must be able to pass through.
  await chmod(dataDir, 0o755);
  await mkdir(join(dataDir, 'logs'), { recursive: true, mode: 0o700 });

  let update: () => Promise<void> = async () => {};
  const run = {
    guard,
    restart: true,
    onState: ((name, state, detail) => {
      options.onState?.(name, state, detail);
      // Tools find parts by their process numbers, which a restart changes.
      if (state === 'up') void update().catch(() => {});
    }) satisfies RunOptions['onState'],
  };
  const start = async (spec: PartSpec): Promise<void> => void parts.set(spec.name, await runPart(spec, run));
  const context: PartContext = {
    dataDir,
    ports,
    keys,
    logLevel: options.logLevel ?? 'info',
    extra: options.settings ?? {},
  };
  const { anchorMode = 'hcs', consensusDelayMs = 3_000 } = options;

  const [{ postgres, tenant }, temporal, ledgerFile] = await together([
    startDatabase({ dataDir, ports, secrets, parts, run, settings: options.postgresSettings ?? {} }),
    startMotion({ dataDir, ports, parts, run, onProgress: options.onProgress ?? (() => {}) }),
    startParties({ context, start, consensusDelayMs, anchorMode }),
  ]);
  const tsasFile = await writeTsasFile(dataDir, ports, keys);
  const servers: ServerContext = { ...context, postgres, temporal, secrets, tsasFile, ledgerFile, anchorMode };
  const specs = [...(await workerSpecs(servers, options)), relayPart(servers), apiPart(servers)];
  await together(specs.map(start));

  const { instance, operatorKey } = secrets;
  const issuerKeyFile = keys.licenseIssuer.keyFile;
  await importLocalLicence({ apiUrl: apiUrl(ports), operatorKey, instance, tenant, issuerKeyFile });
  await writeAtomically(join(dataDir, 'trust.json'), await fetchTrust(apiUrl(ports)));
  const info = () => localInfo({ ports, secrets, postgres, parts });
  update = () => writeAtomically(join(dataDir, 'local.json'), `${JSON.stringify(info(), undefined, 2)}\n`);
  await update();
  return {
    get info() {
      return info();
    },
    dataDir,
    tenant,
    parts,
    async stop() {
      update = async () => {};
      await stop();
    },
  };
}

interface StartContext {
  readonly dataDir: string;
  readonly ports: StackPorts;
  readonly parts: Map<string, RunningPart>;
  readonly run: RunOptions & { readonly restart: boolean };
}

async function startDatabase(
  context: StartContext & { readonly secrets: LocalSecrets; readonly settings: Readonly<Record<string, string>> },
): Promise<{ postgres: Postgres; tenant: TenantId }> {
  const { dataDir, ports, secrets, parts, run, settings } = context;
  const postgres = await startPostgres({
    ...run,
    dataDir: join(dataDir, 'postgres'),
    port: ports.postgres,
    passwords: secrets.passwords,
    logFile: join(dataDir, 'logs', 'postgres.log'),
    // Queues grow from nothing to thousands of rows and back within seconds: plans need to know.
    settings: { autovacuum_naptime: '5s', ...settings },
  });
  parts.set('postgres', postgres.part);
  await postgres.createDatabase(DATABASE);
  const dbUrl = postgres.url('proofline_owner', DATABASE);
  await migrate(dbUrl);
  return { postgres, tenant: await seedTenantAndKeys({ dbUrl, ...secrets }) };
}

async function startMotion(context: StartContext & { readonly onProgress: (line: string) => void }): Promise<Temporal> {
  const { dataDir, ports, parts, run, onProgress } = context;
  const temporal = await startTemporal({
    ...run,
    cliPath: await resolveTemporalCli({ onProgress }),
    // At each start, so that a server whose file was lost has them again.
    searchAttributes: readSearchAttributes(),
    dbFile: join(dataDir, 'temporal.db'),
    port: ports.temporal,
    uiPort: ports.temporalUi,
    logFile: join(dataDir, 'logs', 'temporal.log'),
  });
  parts.set('temporal', temporal.part);
  await applySchedules(temporal.address, temporal.namespace, 'workflows');
  return temporal;
}

interface PartiesContext {
  readonly context: PartContext;
  readonly start: (spec: PartSpec) => Promise<void>;
  readonly consensusDelayMs: number;
  readonly anchorMode: string;
}

/** The authority's key and the ledger's payer are at the signer, so it comes first. Returns the ledger's file. */
async function startParties({ context, start, ...settings }: PartiesContext): Promise<string> {
  await start(signerPart(context));
  const [ledgerFile] = await together([
    startLedger(context, start, settings),
    ...[crlPart(context), tsaPart(context), tsaSecondPart(context)].map(start),
  ]);
  return ledgerFile;
}

async function workerSpecs(context: ServerContext, { splitPools, ports }: StackOptions): Promise<PartSpec[]> {
  const { POOLS } = await import('../../workflows/policies.ts');
  return workerParts(context, POOLS, splitPools ? await choosePoolPorts(ports ?? 0, POOLS.length - 1) : undefined);
}

/** Waits for every one before the first failure is thrown, so that what did start is known and can be stopped. */
async function together<const T extends readonly Promise<unknown>[]>(
  work: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  const settled = await Promise.allSettled(work);
  for (const one of settled) if (one.status === 'rejected') throw one.reason;
  return settled.map((one) => (one.status === 'fulfilled' ? one.value : undefined)) as {
    -readonly [K in keyof T]: Awaited<T[K]>;
  };
}
