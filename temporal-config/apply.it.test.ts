import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Connection } from '@temporalio/client';
import { startTemporal, type Temporal } from '../local/temporal/start-temporal.ts';
import { applySearchAttributes } from './apply.ts';
import { readSearchAttributes } from './search-attributes.ts';

describe('applySearchAttributes', () => {
  let dir: string;
  let server: Temporal;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'proofline-config-'));
    server = await startTemporal({ dbFile: join(dir, 'temporal.db'), uiPort: false });
  });
  afterAll(async () => {
    await server.stop();
    await rm(dir, { recursive: true, force: true });
  });

  it('adds what a namespace lacks, once', async () => {
    const declared = Object.keys(readSearchAttributes());
    expect(await applySearchAttributes(server.address, server.namespace)).toEqual(declared);
    expect(await applySearchAttributes(server.address, server.namespace)).toEqual([]);
    const connection = await Connection.connect({ address: server.address });
    const listed = await connection.operatorService.listSearchAttributes({ namespace: server.namespace });
    await connection.close();
    expect(Object.keys(listed.customAttributes ?? {})).toEqual(expect.arrayContaining(declared));
  });
});
