import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { until } from '../../test/support/until.ts';
import { type Guard, startGuard } from './guard.ts';
import { type PartSpec, type PartState, runPart } from './part.ts';
import { freePort } from './ports.ts';
import { acceptsTcp } from './ready.ts';

describe('a part', () => {
  let dir: string;
  let guard: Guard;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'proofline-part-'));
    guard = startGuard();
  });
  afterEach(async () => {
    await guard.close();
    await rm(dir, { recursive: true, force: true });
  });

  const partOf = (script: string, isReady: () => Promise<boolean>): PartSpec => ({
    name: 'example',
    command: process.execPath,
    args: ['-e', script],
    env: {},
    logFile: join(dir, 'example.log'),
    stopSignal: 'SIGTERM',
    stopTimeoutMs: 500,
    readyTimeoutMs: 10_000,
    isReady,
  });

  it('is back under the same address after kill -9, and gone after stop', async () => {
    const port = await freePort();
    const states: PartState[] = [];
    const spec = partOf(`require('net').createServer().listen(${port}, '127.0.0.1')`, () => acceptsTcp(port));
    const part = await runPart(spec, { guard, restart: true, onState: (_name, state) => states.push(state) });
    const first = part.pid() ?? 0;
    process.kill(first, 'SIGKILL');
    await until(
      () => states,
      (seen) => seen.filter((state) => state === 'up').length === 2,
    );
    expect(part.pid()).not.toBe(first);
    expect(await acceptsTcp(port)).toBe(true);
    await part.stop();
    expect(await acceptsTcp(port)).toBe(false);
    expect(states).toEqual(['starting', 'up', 'down', 'starting', 'up', 'stopped']);
  });

  it('can be stopped and started again by hand', async () => {
    const port = await freePort();
    const part = await runPart(
      partOf(`require('net').createServer().listen(${port}, '127.0.0.1')`, () => acceptsTcp(port)),
      { guard, restart: true },
    );
    await part.stop();
    expect(part.pid()).toBeUndefined();
    await part.start();
    expect(await acceptsTcp(port)).toBe(true);
    await part.stop();
  });

  it('that ignores its signal is killed, with what it started', async () => {
    const port = await freePort();
    const child = `require('net').createServer().listen(${port}, '127.0.0.1')`;
    const script = `process.on('SIGTERM', () => {}); require('child_process').spawn(process.execPath, ['-e', ${JSON.stringify(child)}]); setInterval(() => {}, 1000)`;
    const part = await runPart(
      partOf(script, () => acceptsTcp(port)),
      { guard },
    );
    await part.stop();
    expect(await acceptsTcp(port)).toBe(false);
  });

  it('that ends before it answers is reported with the end of its log', async () => {
    const spec = partOf(`console.error('no such setting'); process.exit(3)`, async () => false);
    await expect(runPart(spec, { guard })).rejects.toThrow(/exit code 3[\s\S]*no such setting/);
  });
});
