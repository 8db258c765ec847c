/**
 * Bundles one entry point to JavaScript with type declarations: Node refuses to strip types under node_modules, and a
 * reader should need no other package.
 */
import { execFile } from 'node:child_process';
import { copyFile, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';

const ROOT = join(import.meta.dirname, '..', '..');

/** What every bundle of ours has in common. */
export const BUNDLED = { bundle: true, format: 'esm', legalComments: 'inline', logLevel: 'warning' } as const;

/**
 * Fills `<folder>/dist` anew with `index.js`, which runs in Node and in browsers, and `types/`; the folder holds a
 * `tsconfig.types.json` that names the same entry point.
 */
export async function bundlePackage(folder: string, entryPoint: string): Promise<void> {
  const dist = join(folder, 'dist');
  await rm(dist, { recursive: true, force: true });
  await build({
    ...BUNDLED,
    entryPoints: [entryPoint],
    outfile: join(dist, 'index.js'),
    platform: 'neutral',
    mainFields: ['module', 'main'],
    target: 'es2022',
  });
  await promisify(execFile)(process.execPath, [
    join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'),
    '--project',
    join(folder, 'tsconfig.types.json'),
  ]);
  await renameImports(join(dist, 'types'));
  await copyFile(join(ROOT, 'LICENSE'), join(folder, 'LICENSE'));
}

/** Declarations name their neighbours by `.ts`; a published one is found as `.js`. */
async function renameImports(types: string): Promise<void> {
  for (const name of await readdir(types, { recursive: true })) {
    if (!name.endsWith('.d.ts')) continue;
    const text = await readFile(join(types, name), 'utf8');
    await writeFile(join(types, name), text.replace(/((?:from|import\()\s?'\.{1,2}\/[^']*)\.ts'/g, "$1.js'"));
  }
}
