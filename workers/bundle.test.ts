import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { bundleWorkflows } from './bundle.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'proofline-bundle-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('the kept bundle of the workflows', () => {
  it('is taken again while no source has changed, and made anew when it is of other sources or cut off', async () => {
    const file = join(folder, 'bundle.json');
    const first = await bundleWorkflows(undefined, file);
    const written = await stat(file);
    expect(await bundleWorkflows(undefined, file)).toEqual(first);
    expect((await stat(file)).mtimeMs).toBe(written.mtimeMs);

    const { key, code } = JSON.parse(await readFile(file, 'utf8'));
    for (const spoilt of [JSON.stringify({ key: 'other', code: 'x' }), JSON.stringify({ key, code }).slice(0, 1_000)]) {
      await writeFile(file, spoilt);
      expect((await bundleWorkflows(undefined, file)).code.length).toBe(code.length);
      expect(JSON.parse(await readFile(file, 'utf8')).key).toBe(key);
    }
  }, 60_000);
});
