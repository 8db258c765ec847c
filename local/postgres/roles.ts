import pg from 'pg';

/** What the processes log in as (access.md); none of them owns anything. `proofline_owner` migrates. */
export const ROLES = ['proofline_owner', 'proofline_api', 'proofline_intake', 'proofline_worker'] as const;
export type Role = (typeof ROLES)[number];
export type RolePasswords = Readonly<Record<Role, string>>;

/** What each login needs beside what the migrations grant it. The owner may make scratch databases to find drift. */
const ATTRIBUTES: Readonly<Record<Role, string>> = {
  proofline_owner: 'LOGIN NOSUPERUSER NOCREATEROLE CREATEDB NOBYPASSRLS',
  proofline_api: 'LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOBYPASSRLS',
  proofline_intake: 'LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOBYPASSRLS',
  proofline_worker: 'LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOBYPASSRLS',
};

/** Makes the roles of a cluster, or gives them these passwords and attributes again. Repeatable. */
export async function ensureRoles(superuserUrl: string, passwords: RolePasswords): Promise<void> {
  await withClient(superuserUrl, async (client) => {
    for (const role of ROLES) {
      const found = await client.query('SELECT 1 FROM pg_roles WHERE rolname = $1', [role]);
      const verb = found.rowCount === 0 ? 'CREATE' : 'ALTER';
      await client.query(`${verb} ROLE ${role} WITH ${ATTRIBUTES[role]} PASSWORD ${pg.escapeLiteral(passwords[role])}`);
    }
  });
}

/** Makes a database that `proofline_owner` owns, unless it is there; `template` must have no sessions. */
export async function ensureDatabase(superuserUrl: string, name: string, template = 'template0'): Promise<void> {
  await withClient(superuserUrl, async (client) => {
    const found = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [name]);
    if (found.rowCount !== 0) return;
    const [database, source] = [pg.escapeIdentifier(name), pg.escapeIdentifier(template)];
    // FILE_COPY is many times faster than WAL_LOG for a small template; CREATE DATABASE syncs it all the same.
    await client.query(`CREATE DATABASE ${database} OWNER proofline_owner TEMPLATE ${source} STRATEGY FILE_COPY`);
  });
}

export async function dropDatabase(superuserUrl: string, name: string): Promise<void> {
  await withClient(superuserUrl, (client) =>
    client.query(`DROP DATABASE IF EXISTS ${pg.escapeIdentifier(name)} WITH (FORCE)`),
  );
}

async function withClient<T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}
