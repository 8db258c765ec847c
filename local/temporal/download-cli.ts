import { createHash } from 'node:crypto';
import { chmod, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../stack/run-command.ts';
import { type ReleaseArchive, releaseArchive } from './release.ts';

const CONNECT_TIMEOUT_MS = 10_000;
const TOTAL_TIMEOUT_MS = 10 * 60_000;
const MAX_ARCHIVE_BYTES = 256 * 1024 * 1024;

/**
 * Puts the vendor's build of the CLI at `<into>/temporal`. Without a network this fails within milliseconds. Throws
 * if there is no archive with a pinned checksum for the platform, if it cannot be fetched, or if it is another file.
 */
export async function downloadCli(
  into: string,
  onProgress: (line: string) => void,
  archive: ReleaseArchive | undefined = releaseArchive(`${process.platform}-${process.arch}`),
): Promise<void> {
  if (archive === undefined) throw new Error(`no archive is pinned for ${process.platform}-${process.arch}`);
  const bytes = await fetchArchive(archive.url, onProgress);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  if (sha256 !== archive.sha256) {
    throw new Error(`${archive.url} has SHA-256 ${sha256}, not ${archive.sha256} as pinned; it was not used`);
  }
  const file = join(into, 'temporal.tar.gz');
  await writeFile(file, bytes);
  const unpacked = await runCommand('tar', ['-xzf', file, '-C', into, 'temporal'], { timeoutMs: 120_000 });
  if (unpacked.code !== 0) throw new Error(`tar failed: ${unpacked.output.trim()}`);
  await rm(file);
  await chmod(join(into, 'temporal'), 0o755);
}

async function fetchArchive(url: string, onProgress: (line: string) => void): Promise<Buffer> {
  const abort = new AbortController();
  const connecting = setTimeout(() => abort.abort(new Error('no answer within 10 s')), CONNECT_TIMEOUT_MS);
  const total = setTimeout(() => abort.abort(new Error('not complete within 10 min')), TOTAL_TIMEOUT_MS);
  try {
    const reply = await fetch(url, { signal: abort.signal });
    clearTimeout(connecting);
    if (!reply.ok || reply.body === null) throw new Error(`answered ${reply.status}`);
    onProgress(`downloading ${url}`);
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of reply.body) {
      size += chunk.byteLength;
      if (size > MAX_ARCHIVE_BYTES) throw new Error(`is larger than ${MAX_ARCHIVE_BYTES} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } catch (fault) {
    const cause = fault instanceof Error && fault.cause instanceof Error ? `: ${fault.cause.message}` : '';
    throw new Error(`${url}: ${fault instanceof Error ? fault.message : fault}${cause}`, { cause: fault });
  } finally {
    clearTimeout(connecting);
    clearTimeout(total);
  }
}
