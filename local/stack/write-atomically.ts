import { rename, writeFile } from 'node:fs/promises';

/** Replaces a file as a whole; readers see the old or the new one. Only this user may read it. */
export async function writeAtomically(path: string, text: string): Promise<void> {
  const making = `${path}.${process.pid}.making`;
  await writeFile(making, text, { mode: 0o600 });
  await rename(making, path);
}
