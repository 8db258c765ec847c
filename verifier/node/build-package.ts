/** Builds `@proofline/verifier`: the library, and the command `proofline`. Runs at `npm pack`. */
import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { BUNDLED, bundlePackage } from './bundle-package.ts';

const room = join(import.meta.dirname, '..');
const command = join(room, 'package', 'dist', 'cli.js');

await bundlePackage(join(room, 'package'), join(room, 'index.ts'));
await build({
  ...BUNDLED,
  entryPoints: [join(room, 'cli.ts')],
  outfile: command,
  platform: 'node',
  target: 'node20',
  banner: { js: '#!/usr/bin/env node' },
});
await chmod(command, 0o755);
