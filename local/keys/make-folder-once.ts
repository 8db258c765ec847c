import { randomBytes } from 'node:crypto';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncFolder } from './write-durably.ts';

/**
 * Makes `folder` with the files that `make` returns (name to content, mode 0600) unless it exists. All files appear
 * at once, so a key never meets another's certificate: of two processes that try together one wins and the other
 * finds the winner's folder. A crash leaves at most a `.tmp` folder that nobody reads.
 */
export async function makeFolderOnce(
  folder: string,
  make: () => Promise<Readonly<Record<string, string>>>,
): Promise<'made' | 'kept'> {
  if (await exists(folder)) return 'kept';
  const parent = dirname(folder);
  await mkdir(parent, { recursive: true, mode: 0o700 });
  const temporary = `${folder}.${randomBytes(6).toString('hex')}.tmp`;
  await mkdir(temporary, { mode: 0o700 });
  try {
    for (const [name, content] of Object.entries(await make())) {
      const file = await open(join(temporary, name), 'wx', 0o600);
      try {
        await file.writeFile(content);
        await file.sync();
      } finally {
        await file.close();
      }
    }
    await syncFolder(temporary);
    await rename(temporary, folder);
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true });
    // rename onto a folder that holds files is refused: another process was first.
    if (await exists(folder)) return 'kept';
    throw cause;
  }
  await syncFolder(parent);
  return 'made';
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
