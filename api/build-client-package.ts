/** Builds `@proofline/client`. Runs at `npm pack`. */
import { join } from 'node:path';
import { bundlePackage } from '../verifier/node/bundle-package.ts';

await bundlePackage(join(import.meta.dirname, 'package'), join(import.meta.dirname, 'client-package.ts'));
