import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { type Guard, startGuard } from '../stack/guard.ts';
import { type RunningPart, type RunOptions, runPart } from '../stack/part.ts';
import { freePort } from '../stack/ports.ts';
import { clusterPart, SUPERUSER } from './cluster.ts';
import { dropDatabase, ensureDatabase, ensureRoles, ROLES, type Role, type RolePasswords } from './roles.ts';

export interface PostgresPasswords extends RolePasswords {
  readonly superuser: string;
}

export interface PostgresOptions {
  readonly dataDir: string;
  /** Default: one chosen by the system. */
  readonly port?: number;
  /** Kept by the caller along with the data; default: fresh ones, good for a folder that is thrown away. */
  readonly passwords?: PostgresPasswords;
  readonly logFile?: string;
  readonly maxConnections?: number;
  /** More server settings, e.g. `shared_preload_libraries`. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly guard?: Guard;
  readonly restart?: boolean;
  readonly onState?: RunOptions['onState'];
}

export interface Postgres {
  readonly port: number;
  /** Its process: to stop and start it alone. */
  readonly part: RunningPart;
  pid(): number | undefined;
  /** Connection string for a login and a database. */
  url(role: Role | typeof SUPERUSER, database: string): string;
  createDatabase(name: string, template?: string): Promise<void>;
  dropDatabase(name: string): Promise<void>;
  stop(): Promise<void>;
}

/** Starts Postgres with our logins over `dataDir`, as root too. First start about 1.5 s, later ones 0.2 s. */
export async function startPostgres(options: PostgresOptions): Promise<Postgres> {
  const port = options.port ?? (await freePort());
  const passwords = options.passwords ?? newPasswords();
  const dataDir = resolve(options.dataDir);
  const guard = options.guard ?? startGuard();
  const part = await runPart(
    await clusterPart({
      dataDir,
      port,
      password: passwords.superuser,
      logFile: options.logFile ?? `${dataDir}.log`,
      ...(options.maxConnections === undefined ? {} : { maxConnections: options.maxConnections }),
      ...(options.settings === undefined ? {} : { settings: options.settings }),
    }),
    {
      guard,
      ...(options.restart === undefined ? {} : { restart: options.restart }),
      ...(options.onState === undefined ? {} : { onState: options.onState }),
    },
  );
  const url = (role: Role | typeof SUPERUSER, database: string): string =>
    `postgresql://${role}:${role === SUPERUSER ? passwords.superuser : passwords[role]}@127.0.0.1:${port}/${database}`;
  const admin = url(SUPERUSER, 'postgres');
  const stop = async (): Promise<void> => {
    await part.stop();
    if (options.guard === undefined) await guard.close();
  };
  try {
    await ensureRoles(admin, passwords);
  } catch (fault) {
    await stop();
    throw fault;
  }
  return {
    port,
    part,
    pid: () => part.pid(),
    url,
    createDatabase: (name, template) => ensureDatabase(admin, name, template),
    dropDatabase: (name) => dropDatabase(admin, name),
    stop,
  };
}

/** Fresh passwords (URL-safe, 192 bits) for every login. */
export function newPasswords(): PostgresPasswords {
  const fresh = (): string => randomBytes(24).toString('base64url');
  const roles = Object.fromEntries(ROLES.map((role) => [role, fresh()])) as Record<Role, string>;
  return { ...roles, superuser: fresh() };
}
