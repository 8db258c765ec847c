import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { lockData } from './data-lock.ts';

describe('lockData', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'proofline-lock-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  it('refuses a second supervisor and names the first, until that releases', async () => {
    const release = await lockData(dir);
    await expect(lockData(dir)).rejects.toThrow(`process ${process.pid}`);
    await release();
    await (await lockData(dir))();
  });

  it('takes over from a process that is gone, though its number was given to another', async () => {
    await writeFile(
      join(dir, 'supervisor.lock'),
      JSON.stringify({ pid: process.pid, started: 'Thu Jan  1 00:00:00 1970' }),
    );
    await (await lockData(dir))();
    await writeFile(join(dir, 'supervisor.lock'), '{"pid":');
    await (await lockData(dir))();
  });
});
