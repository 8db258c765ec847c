import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { openLogMemory, type TreeHead } from './log-memory.ts';

let dir: string;
let file: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'proofline-memory-'));
  file = join(dir, 'log-memory.json');
});
afterEach(() => rm(dir, { recursive: true }));

const head = (size: bigint, fill = Number(size % 256n), origin = 'example.org/log'): TreeHead => ({
  origin,
  size,
  root: new Uint8Array(32).fill(fill),
});
const rollback = expect.objectContaining({ code: 'log_rollback' });

describe('memory of logs', () => {
  it('goes forwards, repeats what it knows, and refuses less or another root, also after a restart', async () => {
    const memory = await openLogMemory(file);
    await memory.advance([head(5n)]);
    await memory.advance([head(9n), head(9n)]);
    for (const opened of [memory, await openLogMemory(file)]) {
      expect(opened.last('example.org/log')).toEqual(head(9n));
      await opened.advance([head(9n)]);
      await expect(opened.advance([head(8n)])).rejects.toEqual(rollback);
      await expect(opened.advance([head(9n, 1)])).rejects.toEqual(rollback);
      await expect(opened.advance([head(10n), head(10n, 1)])).rejects.toEqual(rollback);
      expect(opened.last('example.org/log')).toEqual(head(9n));
    }
  });

  it('says what it had when it refuses', async () => {
    const memory = await openLogMemory(file);
    await memory.advance([head(2n ** 60n, 7)]);
    await expect(memory.advance([head(4n)])).rejects.toEqual(
      expect.objectContaining({
        extra: {
          index: 0,
          origin: 'example.org/log',
          lastSize: (2n ** 60n).toString(),
          lastRoot: 'BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc',
        },
      }),
    );
  });

  it('keeps logs apart', async () => {
    const memory = await openLogMemory(file);
    await memory.advance([head(5n)]);
    await memory.advance([head(1n, 1, 'example.org/other')]);
    expect(memory.last('example.org/log')).toEqual(head(5n));
    expect(memory.last('example.org/none')).toBeUndefined();
  });

  it('lets one of two trees win when they come at once', async () => {
    const memory = await openLogMemory(file);
    const outcomes = await Promise.allSettled([memory.advance([head(7n, 1)]), memory.advance([head(7n, 2)])]);
    expect(outcomes.map((o) => o.status).toSorted()).toEqual(['fulfilled', 'rejected']);
    expect((await openLogMemory(file)).last('example.org/log')).toEqual(head(7n, 1));
    expect(await readdir(dir)).toEqual(['log-memory.json']);
  });

  it('does not start over a file that it cannot read', async () => {
    await writeFile(file, '{"heads":[{"origin":"a","size":"1","root":"AA"}]}');
    await expect(openLogMemory(file)).rejects.toThrow('not 32 bytes');
    await writeFile(file, '{"heads":');
    await expect(openLogMemory(file)).rejects.toThrow();
  });
});
