import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { systemClock } from '../../domain/clock.ts';
import type { ProofId } from '../../domain/ids.ts';
import { type RunningSigner, startSigner } from '../../local/signer/start-signer.ts';
import { type RunningTsa, startTsa } from '../../local/tsa/start-tsa.ts';
import { makeTestAuthority, type TestAuthority } from '../../local/tsa/test-authority.ts';
import { seedCertified } from '../support/certified-proof.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { seedTenant } from '../support/seed.ts';

const RENDERER = fileURLToPath(new URL('./renderer.ts', import.meta.url));
const ORIGIN = 'log.example/killed-pdf';

let database: TestDatabase;
let dir: string;
let signer: RunningSigner;
let authority: TestAuthority;
let tsa: RunningTsa;
const children: ChildProcess[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'proofline-killed-pdf-'));
  [database, signer, authority] = await Promise.all([
    createTestDatabase(),
    startSigner({ dir, clock: systemClock() }),
    makeTestAuthority(),
  ]);
  tsa = await startTsa(authority.authority);
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});
afterAll(async () => {
  await tsa.stop();
  await signer.stop();
  await rm(dir, { recursive: true });
  await database.drop();
});

/** Ends with what the process says last, or, when it freezes, with `frozen` after it was killed. */
async function render(proofId: ProofId, freeze?: string): Promise<string> {
  const root = `-----BEGIN CERTIFICATE-----\n${Buffer.from(authority.root.der).toString('base64')}\n-----END CERTIFICATE-----\n`;
  const settings = {
    dbUrl: database.url('proofline_worker'),
    origin: ORIGIN,
    proofId,
    signer: { url: signer.url, caFile: signer.keys.transportCaFile, ...signer.keys.clients.worker },
    tsa: { name: 'test', url: tsa.url, policies: [authority.authority.policy], roots: [root], selfOperated: true },
  };
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', RENDERER], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, SETTINGS: JSON.stringify(settings), ...(freeze !== undefined && { FREEZE: freeze }) },
  });
  children.push(child);
  let last = '';
  for await (const line of createInterface({ input: child.stdout })) {
    last = line;
    if (line === 'frozen') child.kill('SIGKILL');
  }
  return last;
}

describe('a renderer killed with SIGKILL', () => {
  it.each([
    ['with a signature that nobody kept', 'INSERT INTO pdf_work'],
    ['with a token that nobody kept', 'UPDATE certificate_pdfs SET token'],
    ['while the file is being stored', 'INSERT INTO events'],
  ])('%s leaves one file, by one signature and one token', async (_when, statement) => {
    const owner = database.pool('proofline_owner');
    const { proofId } = await seedCertified(owner, await seedTenant(owner), ORIGIN);
    expect(await render(proofId, statement)).toBe('frozen');
    expect(await render(proofId)).toBe('STORED');
    const { rows } = await owner.query(
      `SELECT (SELECT count(*)::int FROM pdf_files f WHERE f.sha256 = p.sha256) AS files, encode(p.token, 'hex') AS token, f.bytes,
         (SELECT count(*)::int FROM pdf_work w WHERE w.proof_id = p.proof_id) AS work,
         (SELECT count(*)::int FROM events e WHERE e.type = 'certificate.rendered' AND e.members = ARRAY[p.proof_id]) AS events
       FROM certificate_pdfs p JOIN pdf_files f ON f.sha256 = p.sha256 WHERE p.proof_id = $1`,
      [proofId],
    );
    expect(rows).toHaveLength(1);
    const [{ bytes, token, ...counts }] = rows;
    expect(counts).toEqual({ files: 1, work: 0, events: 1 });
    expect(bytes.toString('latin1')).toContain(token);
  });
});
