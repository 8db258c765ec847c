/**
 * Bundles the verifier and its command to JavaScript, with type declarations: Node refuses to strip types under
 * node_modules, and a reader should need no other package. Runs at `npm pack`.
 */
import { execFile } from 'node:child_process';
import { chmod, copyFile, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';

const root = join(import.meta.dirname, '..', '..');
const here = join(root, 'verifier', 'package');
const dist = join(here, 'dist');

/** Declarations name their neighbours by `.ts`; a published one is found as `.js`. */
async function renameImports(types: string): Promise<void> {
  for (const name of await readdir(types, { recursive: true })) {
    if (!name.endsWith('.d.ts')) continue;
    const text = await readFile(join(types, name), 'utf8');
    await writeFile(join(types, name), text.replace(/(from '\.{1,2}\/[^']*)\.ts'/g, "$1.js'"));
  }
}

await rm(dist, { recursive: true, force: true });
const shared = { bundle: true, format: 'esm', legalComments: 'inline', logLevel: 'warning' } as const;
await build({
  ...shared,
  entryPoints: [join(root, 'verifier', 'index.ts')],
  outfile: join(dist, 'index.js'),
  platform: 'neutral',
  mainFields: ['module', 'main'],
  target: 'es2022',
});
await build({
  ...shared,
  entryPoints: [join(root, 'verifier', 'cli.ts')],
  outfile: join(dist, 'cli.js'),
  platform: 'node',
  target: 'node20',
  banner: { js: '#!/usr/bin/env node' },
});
await chmod(join(dist, 'cli.js'), 0o755);
await promisify(execFile)(process.execPath, [
  join(root, 'node_modules', 'typescript', 'bin', 'tsc'),
  '--project',
  join(here, 'tsconfig.types.json'),
]);
await renameImports(join(dist, 'types'));
await copyFile(join(root, 'LICENSE'), join(here, 'LICENSE'));
