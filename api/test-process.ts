/** The API as a process of its own, for tests: its settings over a test's database, and its start. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { freePort } from '../local/stack/ports.ts';
import type { TestDatabase } from '../test/support/database.ts';
import { until } from '../test/support/until.ts';

/** Everything that the process needs, on ports of its own. */
export async function settingsOf(database: TestDatabase): Promise<Record<string, string>> {
  return {
    PROOFLINE_API_PORT: String(await freePort()),
    PROOFLINE_METRICS_PORT: String(await freePort()),
    PROOFLINE_PUBLIC_URL: 'http://localhost',
    PROOFLINE_ORIGIN: 'localhost/proofline',
    PROOFLINE_DB_API_URL: database.url('proofline_api'),
    PROOFLINE_DB_INTAKE_URL: database.url('proofline_intake'),
  };
}

/** Starts it with these settings and no others; whoever starts it ends it. */
export function startApiProcess(settings: Readonly<Record<string, string>>): ChildProcess {
  const kept = Object.entries(process.env).filter(([key]) => !key.startsWith('PROOFLINE_'));
  return spawn(process.execPath, [fileURLToPath(new URL('./main.ts', import.meta.url))], {
    env: { ...Object.fromEntries(kept), ...settings },
  });
}

/** Resolves once the process behind this metrics port serves. */
export async function untilReady(metricsPort: string | undefined): Promise<void> {
  const status = () =>
    fetch(`http://127.0.0.1:${metricsPort}/readyz`).then(
      (response) => response.status,
      () => 0,
    );
  await until(status, (code) => code === 200);
}
