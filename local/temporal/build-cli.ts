import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from '../stack/run-command.ts';

const MODULE = fileURLToPath(new URL('./build/', import.meta.url));
const PACKAGE = 'github.com/temporalio/cli/cmd/temporal';
const BUILD_TIMEOUT_MS = 45 * 60_000;
const PROGRESS_EVERY_MS = 10_000;
/** With a cold build cache; fewer are compiled, and named, with a warm one. */
const PACKAGES = 1_700;

/**
 * Builds the CLI as `<into>/temporal` from the pinned module (go.sum pins every source). Cold, on two cores: 5.5
 * minutes and 1.6 GB of modules; `onProgress` says every ten seconds what is under way. Throws with Go's last lines.
 */
export async function buildCli(into: string, onProgress: (line: string) => void): Promise<void> {
  const began = Date.now();
  let fetched = 0;
  let compiled = 0;
  const say = () => {
    const what = compiled > 0 ? `${compiled} of about ${PACKAGES} packages compiled` : `${fetched} modules fetched`;
    onProgress(`building the Temporal server: ${what}, ${Math.round((Date.now() - began) / 1000)} s`);
  };
  onProgress('building the Temporal server with Go: once per user, about 6 minutes on two cores');
  const beat = setInterval(say, PROGRESS_EVERY_MS);
  try {
    const output = join(into, 'temporal');
    // -v names each package as it is compiled, which is what the progress counts.
    const args = [
      'build',
      '-v',
      '-mod=readonly',
      '-trimpath',
      '-buildvcs=false',
      '-ldflags',
      '-s -w',
      '-o',
      output,
      PACKAGE,
    ];
    const built = await runCommand('go', args, {
      cwd: MODULE,
      env: { ...process.env, CGO_ENABLED: '0' },
      timeoutMs: BUILD_TIMEOUT_MS,
      onLine: (line) => {
        if (line.startsWith('go: downloading ')) fetched++;
        else if (!line.startsWith('go: ')) compiled++;
      },
    });
    if (built.code === null) throw new Error(`go is not to be had: ${built.output}`);
    if (built.code !== 0) throw new Error(`go build failed: ${built.output.trim().split('\n').slice(-5).join(' | ')}`);
    say();
    await stat(output);
  } finally {
    clearInterval(beat);
  }
}
