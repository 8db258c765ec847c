import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { seedTenant } from '../../test/support/seed.ts';
import { startTestServer, type TestServer } from '../test-server.ts';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '..', '..');

let folder: string;
let server: TestServer;

/** Packs the client and installs it in a folder outside the clone, with no registry. */
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'proofline-client-'));
  const npm = (cwd: string, ...args: string[]) =>
    run('npm', [...args, '--offline', '--no-audit', '--no-fund'], { cwd });
  await npm(import.meta.dirname, 'pack', '--pack-destination', folder);
  writeFileSync(join(folder, 'package.json'), '{"type":"module","private":true}');
  await npm(folder, 'install', './proofline-client-0.1.0.tgz');
  server = await startTestServer();
}, 120_000);
afterAll(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const PROGRAM = `
  import { createClient, readProof, submitProof, type Proof } from '@proofline/client';
  const [baseUrl = '', auth = ''] = process.argv.slice(2);
  const client = createClient({ baseUrl, auth });
  const body = { digest: { alg: 'sha-256', value: 'ab'.repeat(32) }, reference: 'packed' } as const;
  const submitted = await submitProof({ client, body, headers: { 'Idempotency-Key': 'packed' } });
  const id: string = submitted.data?.id ?? '';
  const proof: Proof | undefined = (await readProof({ client, path: { id } })).data;
  const unknown = await readProof({ client, path: { id: '00000000-0000-4000-8000-000000000000' } });
  console.log(JSON.stringify({ reference: proof?.reference, code: unknown.error?.code }));
`;

describe('the published client', () => {
  it('has the version of the repository and needs no other package', () => {
    const read = (path: string) => JSON.parse(readFileSync(path, 'utf8')) as { version: string; dependencies?: object };
    const installed = read(join(folder, 'node_modules', '@proofline', 'client', 'package.json'));
    expect(installed.version).toBe(read(join(ROOT, 'package.json')).version);
    expect(installed.dependencies).toBeUndefined();
  });

  it('submits and reads a proof of a running API, and its types hold in a strict program', async () => {
    const tenant = await seedTenant(server.database.pool('proofline_worker'));
    writeFileSync(join(folder, 'program.ts'), PROGRAM);
    const { stdout } = await run(process.execPath, ['program.ts', server.url, tenant.apiKey], { cwd: folder });
    expect(JSON.parse(stdout)).toEqual({ reference: 'packed', code: 'NOT_FOUND' });
    const settings = {
      strict: true,
      module: 'nodenext',
      noEmit: true,
      lib: ['es2024', 'dom'],
      types: [],
      skipLibCheck: false,
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: settings, files: ['program.ts'] }));
    writeFileSync(join(folder, 'program.ts'), `declare const process: { argv: string[] };\n${PROGRAM}`);
    await run(process.execPath, [join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')], { cwd: folder });
  }, 60_000);
});
