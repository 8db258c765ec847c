/** What the servers of a test run are reached by: written by start-servers.ts, read by each test file. */
export interface TestServers {
  readonly postgres: {
    readonly port: number;
    readonly passwords: Readonly<Record<string, string>>;
    /** Migrated, without rows and without sessions: what `createTestDatabase` clones. */
    readonly template: string;
  };
  readonly temporal: { readonly address: string; readonly namespace: string };
}

const VARIABLE = 'TEST_SERVERS';

export function publishServers(servers: TestServers): void {
  process.env[VARIABLE] = JSON.stringify(servers);
}

/** Throws where the run has no servers: in a unit test, whose name must then end in `.it.test.ts`. */
export function testServers(): TestServers {
  const text = process.env[VARIABLE];
  if (text === undefined) throw new Error('no servers in this run: name a test that needs them *.it.test.ts');
  return JSON.parse(text) as TestServers;
}
