import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { findProcess } from '../stack/find-process.ts';

const WAIT_FOR_ORPHANS_MS = 5_000;

/**
 * Removes the lock file of a postmaster that was killed: its process number may belong to somebody else by now, which
 * Postgres cannot know. Waits for sessions that outlive their postmaster for a moment. Throws if the cluster is in use.
 */
export async function clearStaleLock(dataDir: string): Promise<void> {
  const path = join(dataDir, 'postmaster.pid');
  const lines = (await readFile(path, 'utf8').catch(() => '')).split('\n');
  const pid = Number(lines[0]);
  if (!Number.isSafeInteger(pid) || pid <= 1) return;
  const deadline = Date.now() + WAIT_FOR_ORPHANS_MS;
  while (await isPostgresOf(pid, dataDir)) {
    if (Date.now() > deadline) throw new Error(`process ${pid} runs Postgres over ${dataDir} already`);
    await delay(50);
  }
  await rm(path, { force: true });
}

async function isPostgresOf(pid: number, dataDir: string): Promise<boolean> {
  return (await findProcess(pid))?.command.includes(dataDir) === true;
}
