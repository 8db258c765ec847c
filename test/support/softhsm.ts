/** SoftHSM from Debian and `pkcs11js` from npm, for the tests of keys in a token. */
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../../local/stack/run-command.ts';
import { cacheEntry, userCacheDir } from '../../local/temporal/user-cache.ts';

const LIBRARIES = ['/usr/lib/softhsm/libsofthsm2.so', '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so'];
const BINDING = 'pkcs11js@2.1.7';
const INSTALL_TIMEOUT_MS = 4 * 60_000;

export interface SoftHsm {
  readonly library: string;
  /** Path of the binding. */
  readonly binding: string;
}

/** Finds or installs both; undefined, said loudly, where the machine cannot. */
export async function resolveSoftHsm(): Promise<SoftHsm | undefined> {
  try {
    return { library: await resolveLibrary(), binding: await resolveBinding() };
  } catch (fault) {
    process.stderr.write(`\nSKIPPED: keys in SoftHSM. ${fault instanceof Error ? fault.message : fault}\n\n`);
    return undefined;
  }
}

/** A token in `dir` with this label; its processes are given the environment returned. */
export async function makeToken(dir: string, label: string, pin: string): Promise<Record<string, string>> {
  const tokens = join(dir, 'tokens');
  await mkdir(tokens, { recursive: true });
  const conf = join(dir, 'softhsm2.conf');
  await writeFile(conf, `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`);
  const env = { PATH: `${process.env.PATH}`, SOFTHSM2_CONF: conf };
  const args = ['--init-token', '--free', '--label', label, '--pin', pin, '--so-pin', `${pin}-so`];
  const { code, output } = await runCommand('softhsm2-util', args, { timeoutMs: 30_000, env });
  if (code !== 0) throw new Error(`softhsm2-util: ${output.trim()}`);
  return env;
}

async function resolveLibrary(): Promise<string> {
  const find = (): string | undefined => LIBRARIES.find((path) => existsSync(path));
  const found = find();
  if (found !== undefined) return found;
  if (process.platform !== 'linux' || process.getuid?.() !== 0)
    throw new Error('softhsm2 is not installed, and only root installs it (apt-get install softhsm2)');
  process.stderr.write('installing softhsm2 with apt-get, once per machine\n');
  const timeoutMs = INSTALL_TIMEOUT_MS;
  const install = () => runCommand('apt-get', ['install', '-y', '--no-install-recommends', 'softhsm2'], { timeoutMs });
  let result = await install();
  if (result.code !== 0) {
    await runCommand('apt-get', ['update'], { timeoutMs });
    result = await install();
  }
  const installed = find();
  if (installed === undefined) throw new Error(`apt-get: ${result.output.trim().split('\n').at(-1) ?? 'none'}`);
  return installed;
}

async function resolveBinding(): Promise<string> {
  const dir = await cacheEntry(userCacheDir(), BINDING, async (into) => {
    process.stderr.write(`building ${BINDING}, once per user\n`);
    const args = ['install', '--no-audit', '--no-fund', '--prefix', into, BINDING];
    const { code, output } = await runCommand('npm', args, { timeoutMs: INSTALL_TIMEOUT_MS });
    const built = join(into, 'node_modules', 'pkcs11js', 'build', 'Release', 'pkcs11.node');
    if (code !== 0 || !existsSync(built)) throw new Error(`npm: ${output.trim().split('\n').at(-1) ?? 'none'}`);
  });
  return join(dir, 'node_modules', 'pkcs11js');
}
