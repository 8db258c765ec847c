/**
 * The per-user cache of programs that cost minutes to get, shared by every clone: `$XDG_CACHE_HOME/proofline/<entry>/`.
 * An entry appears whole (rename) or not at all, and two processes do not make it twice.
 */
import { mkdir, open, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const LOCK_RENEWED_EVERY_MS = 2_000;
const LOCK_STALE_AFTER_MS = 20_000;

/** `$XDG_CACHE_HOME/proofline`, or `~/.cache/proofline` (a relative XDG_CACHE_HOME is ignored, as its specification says). */
export function userCacheDir(env: NodeJS.ProcessEnv = process.env): string {
  const base = env.XDG_CACHE_HOME;
  return join(base !== undefined && isAbsolute(base) ? base : join(homedir(), '.cache'), 'proofline');
}

/**
 * The folder of an entry, made by `make(into)` in a temporary folder beside it unless it is there. One maker at a
 * time per user; the others wait for it and then find the entry, or try themselves if it failed.
 */
export async function cacheEntry(
  cacheDir: string,
  entry: string,
  make: (into: string) => Promise<void>,
  onWait: (holder: string) => void = () => {},
): Promise<string> {
  const dir = join(cacheDir, entry);
  if (await exists(dir)) return dir;
  await mkdir(cacheDir, { recursive: true });
  const release = await takeLock(join(cacheDir, `${entry}.lock`), onWait);
  try {
    if (await exists(dir)) return dir;
    const making = join(cacheDir, `.${entry}.making`);
    // Whatever a killed maker left behind is not trusted.
    await rm(making, { recursive: true, force: true });
    await mkdir(making);
    try {
      await make(making);
      await rename(making, dir);
    } finally {
      await rm(making, { recursive: true, force: true });
    }
    return dir;
  } finally {
    await release();
  }
}

/** A lock file whose holder renews its time; one that is not renewed belongs to a dead process and is taken over. */
async function takeLock(path: string, onWait: (holder: string) => void): Promise<() => Promise<void>> {
  let told = false;
  for (;;) {
    try {
      const file = await open(path, 'wx');
      await file.writeFile(`${process.pid}`);
      await file.close();
      break;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause;
    }
    const age = await stat(path).then(
      (found) => Date.now() - found.mtimeMs,
      () => 0,
    );
    if (age > LOCK_STALE_AFTER_MS) {
      await rm(path, { force: true });
      continue;
    }
    if (!told) onWait(await readFile(path, 'utf8').catch(() => '?'));
    told = true;
    await delay(250);
  }
  const renewal = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => {}), LOCK_RENEWED_EVERY_MS);
  renewal.unref();
  return async () => {
    clearInterval(renewal);
    await rm(path, { force: true });
  };
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
