import { describe, expect, it } from '@jest/globals';
import { createGivingLane, type GivingLaneDeps, QUIET_MS } from './giving-lane.ts';

/** A lane over a clock that only pauses and chunks move. */
function createScene(change: Partial<GivingLaneDeps> = {}) {
  const scene = { atMs: 0, smallUntilMs: 0, looks: 0, pausedMs: 0 };
  const lane = createGivingLane({
    isAwaited: async () => {
      scene.looks++;
      return scene.atMs < scene.smallUntilMs;
    },
    elapsedMs: () => scene.atMs,
    pause: async (ms) => {
      scene.atMs += ms;
      scene.pausedMs += ms;
    },
    ...change,
  });
  const chunkOf = (ms: number) => () =>
    lane.step(async () => {
      scene.atMs += ms;
    });
  return { scene, lane, chunkOf };
}

describe('a lane that gives way', () => {
  it.each([
    ['two chunks at a time while none before it comes for long', false, 2],
    ['one at a time once one before it was seen', true, 1],
  ])('takes %s, in the order of asking', async (_, isSmallSeen, places) => {
    const { scene, lane, chunkOf } = createScene();
    if (isSmallSeen) {
      scene.smallUntilMs = 1;
      await chunkOf(QUIET_MS - 1)();
    }
    const started: number[] = [];
    const ends = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
    const steps = ends.map(({ promise }, n) =>
      lane.step(() => {
        started.push(n);
        return promise;
      }),
    );
    for (const [n, { resolve }] of ends.entries()) {
      await new Promise(setImmediate);
      expect(started).toEqual(Array.from({ length: Math.min(4, n + places) }, (_, i) => i));
      resolve();
      await steps[n];
    }
  });

  it('goes on when a chunk fails', async () => {
    const { lane } = createScene();
    const fail = () => lane.step(() => Promise.reject(new Error('refused')));
    await Promise.all([1, 2, 3].map(() => expect(fail()).rejects.toThrow('refused')));
    expect(await lane.step(async () => 'done')).toBe('done');
  });

  it('rests while one before it is under way, and no longer', async () => {
    const { scene, chunkOf } = createScene();
    await chunkOf(400)();
    scene.smallUntilMs = scene.atMs + 300;
    await chunkOf(400)();
    expect(scene.pausedMs).toBe(300);
    await chunkOf(400)();
    expect(scene.pausedMs).toBe(300);
  });

  it('keeps a third of the time however many come before it', async () => {
    const { scene, chunkOf } = createScene();
    scene.smallUntilMs = Number.POSITIVE_INFINITY;
    for (let n = 0; n < 10; n++) await chunkOf(100)();
    expect(scene.pausedMs).toBe(9 * 200);
  });

  it('gives nobody way when the process stops', async () => {
    const stop = new AbortController();
    const { scene, chunkOf } = createScene({ stopping: stop.signal });
    scene.smallUntilMs = Number.POSITIVE_INFINITY;
    await chunkOf(100)();
    stop.abort();
    await chunkOf(100)();
    expect(scene.pausedMs).toBe(0);
  });
});
