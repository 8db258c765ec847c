import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { findProcess } from './find-process.ts';

/**
 * Takes a data folder for this process, so that two supervisors never run over one set of files. Returns the release.
 * Throws naming the other process. The lock of a process that is gone is taken over.
 */
export async function lockData(dataDir: string): Promise<() => Promise<void>> {
  await mkdir(dataDir, { recursive: true });
  const path = join(dataDir, 'supervisor.lock');
  for (;;) {
    try {
      const file = await open(path, 'wx');
      await file.writeFile(JSON.stringify({ pid: process.pid, started: (await findProcess(process.pid))?.started }));
      await file.close();
      return () => rm(path, { force: true });
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause;
    }
    const holder = await readHolder(path);
    if (holder !== undefined && (await findProcess(holder.pid))?.started === holder.started) {
      throw new Error(
        `Proofline runs already over ${dataDir}: process ${holder.pid}. Stop it first (Ctrl-C or kill ${holder.pid}).`,
      );
    }
    await rm(path, { force: true });
  }
}

async function readHolder(path: string): Promise<{ pid: number; started: string } | undefined> {
  try {
    const { pid, started } = JSON.parse(await readFile(path, 'utf8')) as { pid?: unknown; started?: unknown };
    if (typeof pid === 'number' && typeof started === 'string') return { pid, started };
  } catch {
    // Written half, or gone: nobody holds it.
  }
  return undefined;
}
