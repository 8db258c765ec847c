import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { runCommand } from '../stack/run-command.ts';
import { downloadCli } from './download-cli.ts';
import { resolveTemporalCli } from './resolve-cli.ts';

describe('resolveTemporalCli', () => {
  let dir: string;
  let cacheDir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'proofline-cli-'));
    cacheDir = join(dir, 'cache');
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  /** A program that says what a Temporal CLI with this server says. */
  const program = async (path: string, server: string): Promise<string> => {
    await mkdir(join(path, '..'), { recursive: true });
    await writeFile(path, `#!/bin/sh\necho "temporal version 1.8.2 (Server ${server}, UI 2.50.1)"\n`);
    await chmod(path, 0o755);
    return path;
  };
  const unreachable = async (): Promise<void> => {
    throw new Error('no network');
  };

  it('takes TEMPORAL_CLI_PATH first, and refuses it when its server is too old', async () => {
    const path = await program(join(dir, 'mine'), '1.31.2');
    expect(await resolveTemporalCli({ env: { TEMPORAL_CLI_PATH: path, PATH: '' }, cacheDir })).toBe(path);
    const old = await program(join(dir, 'old'), '1.29.1');
    await expect(resolveTemporalCli({ env: { TEMPORAL_CLI_PATH: old, PATH: '' }, cacheDir })).rejects.toThrow('1.29.1');
  });

  it('takes temporal on PATH when its server is new enough, else looks on', async () => {
    const path = await program(join(dir, 'new', 'temporal'), '1.32.0');
    expect(await resolveTemporalCli({ env: { PATH: join(dir, 'new') }, cacheDir })).toBe(path);
    await program(join(dir, 'old', 'temporal'), '1.30.0');
    const env = { PATH: join(dir, 'old') };
    const built = await resolveTemporalCli({
      env,
      cacheDir,
      download: unreachable,
      build: (into) => writeFile(join(into, 'temporal'), 'built'),
    });
    expect(await readFile(built, 'utf8')).toBe('built');
  });

  it('downloads once, and finds it in the cache from then on', async () => {
    let downloads = 0;
    const download = async (into: string): Promise<void> => {
      downloads++;
      await writeFile(join(into, 'temporal'), 'fetched');
    };
    const options = { env: { PATH: '' }, cacheDir, download };
    // Together, as two clones would on their first day.
    const paths = await Promise.all([resolveTemporalCli(options), resolveTemporalCli(options)]);
    expect(new Set(paths).size).toBe(1);
    expect(await resolveTemporalCli(options)).toBe(paths[0]);
    expect(downloads).toBe(1);
  });

  it('names four ways out, and what was tried, when nothing works; and leaves nothing half made', async () => {
    const build = async (): Promise<void> => {
      throw new Error('go is not to be had');
    };
    const failed = resolveTemporalCli({ env: { PATH: '' }, cacheDir, download: unreachable, build });
    await expect(failed).rejects.toThrow(
      /1\. .*TEMPORAL_CLI_PATH[\s\S]*2\. .*PATH[\s\S]*3\. .*github[\s\S]*4\. .*Go[\s\S]*no network[\s\S]*go is not to be had/,
    );
    const retried = await resolveTemporalCli({
      env: { PATH: '' },
      cacheDir,
      download: (into) => writeFile(join(into, 'temporal'), ''),
    });
    expect((await stat(retried)).isFile()).toBe(true);
  });
});

describe('downloadCli', () => {
  it('unpacks the archive that has the pinned checksum, and uses no other', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'proofline-archive-'));
    await writeFile(join(dir, 'temporal'), 'the program');
    const packed = join(dir, 'packed.tar.gz');
    expect((await runCommand('tar', ['-czf', packed, '-C', dir, 'temporal'], { timeoutMs: 10_000 })).code).toBe(0);
    const bytes = await readFile(packed);
    const server = createServer((_request, response) => response.end(bytes)).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/temporal.tar.gz`;
    try {
      const into = await mkdtemp(join(dir, 'into-'));
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      await downloadCli(into, () => {}, { url, sha256 });
      expect(await readFile(join(into, 'temporal'), 'utf8')).toBe('the program');
      const other = await mkdtemp(join(dir, 'other-'));
      await expect(downloadCli(other, () => {}, { url, sha256: '0'.repeat(64) })).rejects.toThrow('not used');
      await expect(stat(join(other, 'temporal'))).rejects.toThrow('ENOENT');
    } finally {
      server.close();
      await rm(dir, { recursive: true, force: true });
    }
  });
});
