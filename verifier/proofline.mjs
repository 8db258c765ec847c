#!/usr/bin/env node
/**
 * Starts the command line of a clone, whatever Node is on the machine: the sources are TypeScript and need Node 24,
 * which `npm ci` put into node_modules. The published package has its own, bundled entry point.
 */
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const cli = fileURLToPath(new URL('./cli.ts', import.meta.url));

if (Number(process.versions.node.split('.')[0]) >= 24) {
  await import('./cli.ts');
} else {
  const child = spawn(findNode(), [cli, ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`proofline: ${error.message}\n`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 143);
  });
}

/** The Node 24 of the clone. */
function findNode() {
  try {
    const folder = dirname(createRequire(import.meta.url).resolve('node/package.json'));
    return join(folder, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  } catch {
    process.stderr.write(
      `proofline: Node ${process.versions.node} cannot run the sources; run \`npm ci\` first, or use Node 24\n`,
    );
    process.exit(1);
  }
}
