import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { startTemporal } from './start-temporal.ts';

describe('startTemporal', () => {
  const dirs: string[] = [];
  afterAll(async () => {
    for (const dir of dirs) await rm(dir, { recursive: true, force: true });
  });

  it('serves a namespace with the search attributes asked for, a UI, and keeps its history over a restart', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'proofline-temporal-'));
    dirs.push(dir);
    const options = { dbFile: join(dir, 'temporal.db'), searchAttributes: { BatchStage: 'Keyword' } } as const;
    const first = await startTemporal(options);
    try {
      expect((await fetch(`${first.uiUrl}/`)).status).toBe(200);
      const connection = await Connection.connect({ address: first.address });
      const attributes = await connection.operatorService.listSearchAttributes({ namespace: 'default' });
      expect(Object.keys(attributes.customAttributes ?? {})).toContain('BatchStage');
      await new Client({ connection }).workflow.start('absent', { workflowId: 'kept', taskQueue: 'nobody' });
      await connection.close();
    } finally {
      await first.stop();
    }
    const second = await startTemporal({ ...options, uiPort: false });
    try {
      const connection = await Connection.connect({ address: second.address });
      const found = await new Client({ connection }).workflow.getHandle('kept').describe();
      expect(found.status.name).toBe('RUNNING');
      await connection.close();
    } finally {
      await second.stop();
    }
  });
});
