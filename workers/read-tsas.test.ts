import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readTsas } from './read-tsas.ts';

const GOOD = {
  name: 'one',
  url: 'https://tsa.example/',
  policies: ['1.2.3'],
  roots: ['-----BEGIN CERTIFICATE-----'],
  selfOperated: false,
};
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'proofline-tsas-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const read = (content: unknown): ReturnType<typeof readTsas> => {
  const file = join(folder, 'tsas.json');
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  return readTsas(file);
};

describe('the file of timestamp authorities', () => {
  it('gives them in order, with what each allows', async () => {
    const rationed = { ...GOOD, name: 'two', bucket: { capacity: 5, refillMs: 60_000 }, crls: [] };
    expect(await read([GOOD, rationed])).toEqual([GOOD, rationed]);
  });

  it.each([
    ['no authority', [], '$'],
    ['an unknown member', [{ ...GOOD, buckets: {} }], '$[0].buckets'],
    ['a bucket that never refills', [GOOD, { ...GOOD, bucket: { capacity: 5 } }], '$[1].bucket.refillMs'],
    ['an empty bucket', [{ ...GOOD, bucket: { capacity: 0, refillMs: 1 } }], '$[0].bucket.capacity'],
    ['no policy', [{ ...GOOD, policies: [] }], '$[0].policies'],
    ['no root', [{ ...GOOD, roots: [] }], '$[0].roots'],
    ['another scheme', [{ ...GOOD, url: 'ftp://tsa.example' }], '$[0].url'],
    ['no JSON', '[', 'BODY_MALFORMED'],
  ])('is refused with %s', async (_name, content, where) => {
    await expect(read(content)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      detail: expect.stringContaining(where),
    });
  });

  it('is refused when it is not there', async () => {
    await expect(readTsas(join(folder, 'missing'))).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });
});
