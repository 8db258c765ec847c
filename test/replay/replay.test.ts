import { readdir, readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils.js';
import { Worker, type WorkflowBundle } from '@temporalio/worker';
import { bundleWorkflows } from '../../workers/bundle.ts';

const FOLDER = new URL('./histories/', import.meta.url);
const histories = (await readdir(FOLDER, { recursive: true })).filter((file) => file.endsWith('.json')).sort();

let bundle: WorkflowBundle;
beforeAll(async () => {
  bundle = await bundleWorkflows();
});

describe('golden histories', () => {
  it('exist for every workflow type', async () => {
    const index = await readFile(new URL('../../workflows/index.ts', import.meta.url), 'utf8');
    const types = [...index.matchAll(/\{ (\w+) \}/g)].map(([, type]) => type);
    expect(types.length).toBeGreaterThan(4);
    for (const type of types) expect(histories).toContainEqual(expect.stringMatching(`^${type}/`));
  });

  it.each(histories)('replays %s without a change of commands', async (file) => {
    const json: unknown = JSON.parse(await readFile(new URL(file, FOLDER), 'utf8'));
    // Without the SDK's flags a replay does not notice renamed or reordered activities.
    expect(JSON.stringify(json)).toContain('sdkMetadata');
    await Worker.runReplayHistory({ workflowBundle: bundle }, historyFromJSON(json));
  });
});

describe('the workflow bundle', () => {
  it('stays small and free of what workflows must not hold', () => {
    expect(bundle.code.length).toBeLessThan(2_000_000);
    for (const foreign of [
      'node_modules/pg/',
      'node_modules/undici/',
      'node_modules/@noble/',
      'node_modules/canonicalize/',
    ])
      expect(bundle.code).not.toContain(foreign);
  });
});
