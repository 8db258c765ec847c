/**
 * Checks that package-lock.json names every optional package of every platform. npm leaves out those that a registry
 * mirror does not hold, and then `npm ci` refuses the lock on every machine. With `--write` adds them: version from
 * the package that wants them, platform from their names, no checksum (npm takes that from the registry).
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

interface Entry {
  readonly version?: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly [key: string]: unknown;
}

const FILE = fileURLToPath(new URL('../package-lock.json', import.meta.url));
const OS = /(?<=[-/])(android|darwin|freebsd|linux|openharmony|win32|windows)(?=-|$)/;
const CPU = /-(arm64|x64|arm|ia32|ppc64|s390x|riscv64|loong64)(?=-|$)/;

function main(): void {
  const lock = JSON.parse(readFileSync(FILE, 'utf8')) as { packages: Record<string, Entry> };
  const missing = findMissing(lock.packages);
  if (process.argv[2] !== '--write') {
    for (const [name, version] of missing) console.error(`package-lock.json lacks ${name}@${version}`);
    if (missing.size > 0) console.error('`node test/lock.ts --write` adds them');
    process.exitCode = missing.size === 0 ? 0 : 1;
    return;
  }
  for (const [name, version] of missing) lock.packages[`node_modules/${name}`] = entryOf(name, version);
  const sorted = Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1));
  writeFileSync(FILE, `${JSON.stringify({ ...lock, packages: Object.fromEntries(sorted) }, undefined, 2)}\n`);
  console.log(`added ${missing.size}`);
}

function findMissing(packages: Readonly<Record<string, Entry>>): Map<string, string> {
  const missing = new Map<string, string>();
  for (const [path, { optionalDependencies = {} }] of Object.entries(packages)) {
    for (const [name, version] of Object.entries(optionalDependencies)) {
      if (!isResolved(packages, path, name)) missing.set(name, version);
    }
  }
  return missing;
}

/** Node's lookup: beside the package, then in each folder above. */
function isResolved(packages: Readonly<Record<string, Entry>>, from: string, name: string): boolean {
  for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    if (packages[`${at === '' ? '' : `${at}/`}node_modules/${name}`] !== undefined) return true;
    if (at === '') return false;
  }
}

function entryOf(name: string, version: string): Entry {
  const os = OS.exec(name)?.[1];
  const cpu = CPU.exec(name)?.[1];
  if (!/^\d/.test(version) || os === undefined || cpu === undefined) throw new Error(`cannot place ${name}@${version}`);
  const libc = /musl/.test(name) ? { libc: ['musl'] } : /gnu/.test(name) ? { libc: ['glibc'] } : {};
  return { version, cpu: [cpu], ...libc, dev: true, optional: true, os: [os === 'windows' ? 'win32' : os] };
}

main();
