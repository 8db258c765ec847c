import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { toHex } from '../../domain/bytes.ts';
import { leafData } from '../../domain/seal.ts';
import { type Stack, startStack } from '../../local/stack/start-stack.ts';
import { createTestClient, type TestClient } from './client.ts';
import { buildLogClient } from './log-client.ts';

const logClient = buildLogClient();
const itWithGo = logClient === undefined ? it.skip : it;
let dataDir: string;
let stack: Stack | undefined;
let client: TestClient;

beforeAll(async () => {
  if (logClient === undefined) return;
  dataDir = await mkdtemp(join(tmpdir(), 'proofline-e2e-'));
  stack = await startStack({ dataDir, ports: 'any', logLevel: 'warn', consensusDelayMs: 30 });
  client = createTestClient(stack);
}, 120_000);

afterAll(async () => {
  logClient?.remove();
  await stack?.stop();
  if (dataDir !== undefined) await rm(dataDir, { recursive: true, force: true });
}, 60_000);

describe("another's client of the log", () => {
  itWithGo(
    'authenticates every entry, each checkpoint as an extension of the last, and our receipts',
    async () => {
      if (logClient === undefined) throw new Error('this runs with Go alone');
      const submission = await client.submitMany(1_500);
      const one = await client.submitOne();
      await client.untilFinal(submission.id);
      await client.untilState(one.id, ['CERTIFIED']);
      const fetchText = async (path: string): Promise<string> => (await client.request('GET', path)).text();
      const earlier = await fetchText('/log/checkpoint');
      const other = await client.submitOne();
      await client.untilState(other.id, ['CERTIFIED']);

      const { log, vkeys } = await client.trust();
      const receipts: { leaf: string; text: string; index: string }[] = [];
      for (const { id } of [one, other]) {
        const { statement, seal, inclusion } = (await client.bundle(id)).parsed;
        const leaf = toHex(leafData(statement, seal));
        receipts.push({ leaf, text: await fetchText(`/v1/proofs/${id}/receipt`), index: inclusion?.index ?? '' });
      }
      const input = { base: `${log}/`, vkey: vkeys[0]?.vkey ?? '', earlier, receipts };
      const { size, entries } = await logClient.check(input);
      expect({ size, entries: new Set(entries).size }).toEqual({ size: 1_502, entries: 1_502 });
      for (const { leaf, index } of receipts) expect(entries[Number(index)]).toBe(leaf);

      // It does judge: another key, another leaf and a checkpoint of another tree are refused.
      const [first] = receipts;
      const wrong = { leaf: '00'.repeat(32), text: first?.text ?? '' };
      await expect(logClient.check({ ...input, receipts: [wrong] })).rejects.toThrow(/receipt 0/);
      await expect(logClient.check({ ...input, earlier: earlier.replace('\n1501\n', '\n1500\n') })).rejects.toThrow(
        /consistency/,
      );
    },
    120_000,
  );
});
