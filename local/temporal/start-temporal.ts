import { mkdirSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { Connection } from '@temporalio/client';
import { type Guard, startGuard } from '../stack/guard.ts';
import { type PartSpec, type RunningPart, type RunOptions, runPart } from '../stack/part.ts';
import { freePort } from '../stack/ports.ts';
import { resolveTemporalCli } from './resolve-cli.ts';

/** Types of search attributes as `--search-attribute` names them. */
export type SearchAttributeType = 'Text' | 'Keyword' | 'Int' | 'Double' | 'Bool' | 'Datetime' | 'KeywordList';

export interface TemporalOptions {
  /** The server's SQLite file; history and timers outlive a restart. */
  readonly dbFile: string;
  readonly port?: number;
  /** Default: a port chosen by the system; `false`: no UI. */
  readonly uiPort?: number | false;
  readonly namespace?: string;
  readonly searchAttributes?: Readonly<Record<string, SearchAttributeType>>;
  readonly dynamicConfig?: Readonly<Record<string, unknown>>;
  readonly metricsPort?: number;
  readonly cliPath?: string;
  readonly logFile?: string;
  readonly guard?: Guard;
  readonly restart?: boolean;
  readonly onState?: RunOptions['onState'];
  readonly onProgress?: (line: string) => void;
}

export interface Temporal {
  /** `127.0.0.1:port` of the frontend. */
  readonly address: string;
  readonly namespace: string;
  readonly uiUrl: string | undefined;
  /** Its process: to stop and start it alone. */
  readonly part: RunningPart;
  pid(): number | undefined;
  stop(): Promise<void>;
}

/** Starts Temporal's development server over a database file; resolves once its health check says SERVING (~0.5 s). */
export async function startTemporal(options: TemporalOptions): Promise<Temporal> {
  const cli =
    options.cliPath ??
    (await resolveTemporalCli(options.onProgress === undefined ? {} : { onProgress: options.onProgress }));
  const port = options.port ?? (await freePort());
  const uiPort = options.uiPort ?? (await freePort());
  const namespace = options.namespace ?? 'default';
  const guard = options.guard ?? startGuard();
  const part = await runPart(serverPart({ ...options, cli, port, uiPort, namespace }), {
    guard,
    ...(options.restart === undefined ? {} : { restart: options.restart }),
    ...(options.onState === undefined ? {} : { onState: options.onState }),
  });
  return {
    address: `127.0.0.1:${port}`,
    namespace,
    uiUrl: uiPort === false ? undefined : `http://127.0.0.1:${uiPort}`,
    part,
    pid: () => part.pid(),
    async stop() {
      await part.stop();
      if (options.guard === undefined) await guard.close();
    },
  };
}

interface ServerOptions extends TemporalOptions {
  readonly cli: string;
  readonly port: number;
  readonly uiPort: number | false;
  readonly namespace: string;
}

function serverPart(options: ServerOptions): PartSpec {
  const dbFile = resolve(options.dbFile);
  const address = `127.0.0.1:${options.port}`;
  return {
    name: 'temporal',
    command: options.cli,
    args: serverArgs(options, dbFile),
    env: { PATH: process.env.PATH, HOME: process.env.HOME, TZ: 'UTC' },
    logFile: options.logFile ?? `${dbFile}.log`,
    stopSignal: 'SIGTERM',
    stopTimeoutMs: 15_000,
    readyTimeoutMs: 60_000,
    prepare: async () => void mkdirSync(dirname(dbFile), { recursive: true }),
    isReady: () => isServing(address),
  };
}

function serverArgs(options: ServerOptions, dbFile: string): string[] {
  const args = [
    'server',
    'start-dev',
    '--ip',
    '127.0.0.1',
    '--port',
    `${options.port}`,
    '--namespace',
    options.namespace,
  ];
  args.push('--db-filename', dbFile, '--log-level', 'warn', '--log-format', 'json');
  // Measured: 2.6 times the workflows a second of the file's default settings.
  args.push('--sqlite-pragma', 'journal_mode=wal', '--sqlite-pragma', 'synchronous=normal');
  if (options.uiPort === false) args.push('--headless');
  else args.push('--ui-ip', '127.0.0.1', '--ui-port', `${options.uiPort}`, '--ui-disable-news-fetch');
  if (options.metricsPort !== undefined) args.push('--metrics-port', `${options.metricsPort}`);
  for (const [name, type] of Object.entries(options.searchAttributes ?? {}))
    args.push('--search-attribute', `${name}=${type}`);
  for (const [key, value] of Object.entries(options.dynamicConfig ?? {})) {
    args.push('--dynamic-config-value', `${key}=${JSON.stringify(value)}`);
  }
  return args;
}

async function isServing(address: string): Promise<boolean> {
  const connection = await Connection.connect({ address, connectTimeout: 1_000 });
  try {
    const reply = await connection.withDeadline(Date.now() + 1_000, () => connection.healthService.check({}));
    return reply.status === 1;
  } finally {
    await connection.close();
  }
}
