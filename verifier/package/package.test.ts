import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '..', '..');
const vector = (name: string, file: string): string => join(ROOT, 'verifier', 'vectors', name, file);

let folder: string;

/** Packs the package and installs it in a folder outside the clone, with no registry. */
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'proofline-package-'));
  const npm = (cwd: string, ...args: string[]) =>
    run('npm', [...args, '--offline', '--no-audit', '--no-fund'], { cwd });
  await npm(import.meta.dirname, 'pack', '--pack-destination', folder);
  writeFileSync(join(folder, 'package.json'), '{"type":"module","private":true}');
  await npm(folder, 'install', './proofline-verifier-0.1.0.tgz');
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the published package', () => {
  it('has the version of the repository and needs no other package', () => {
    const read = (path: string) => JSON.parse(readFileSync(path, 'utf8')) as { version: string; dependencies?: object };
    const installed = read(join(folder, 'node_modules', '@proofline', 'verifier', 'package.json'));
    expect(installed.version).toBe(read(join(ROOT, 'package.json')).version);
    expect(installed.dependencies).toBeUndefined();
  });

  it('is a library that a browser can load', () => {
    const text = readFileSync(join(folder, 'node_modules', '@proofline', 'verifier', 'dist', 'index.js'), 'utf8');
    expect(text).not.toMatch(/["']node:|\brequire\(|\bprocess\.|\bBuffer\b/);
    expect(text).not.toMatch(/^import\b/m);
  });

  it('has declarations that find each other', () => {
    const types = join(folder, 'node_modules', '@proofline', 'verifier', 'dist', 'types');
    const names = readdirSync(types, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.d.ts'));
    expect(names.length).toBeGreaterThan(30);
    for (const name of names)
      for (const [, target = ''] of readFileSync(join(types, name), 'utf8').matchAll(/from '(\.[^']*)'/g)) {
        expect(target).toMatch(/\.js$/);
        expect(existsSync(join(types, name, '..', target.replace(/\.js$/, '.d.ts')))).toBe(true);
      }
  });

  it('verifies a vector by its command', async () => {
    const args = [
      'verify',
      vector('good-anchored', 'bundle.json'),
      vector('good-anchored', 'file'),
      '--offline',
      '--json',
      '--trust',
      vector('good-anchored', 'trust.json'),
    ];
    const { stdout } = await run(join(folder, 'node_modules', '.bin', 'proofline'), args, { cwd: folder });
    expect(JSON.parse(stdout)).toMatchObject({ overall: 'valid', claims: { digest: { verdict: 'valid' } } });
  });

  it('verifies a vector as a library, and its types hold in a strict program', async () => {
    const program = `
      import { readFileSync } from 'node:fs';
      import { parseTrustDocument, verifyBundle, type VerificationResult } from '@proofline/verifier';
      const read = (path: string | undefined): string => readFileSync(path ?? '', 'utf8');
      const trust = parseTrustDocument(read(process.argv[3]));
      const result: VerificationResult = await verifyBundle(read(process.argv[2]), { trust, nowMs: Date.parse('2026-11-24T08:00:00Z') });
      console.log(result.overall, result.claims.timestamp.at ?? 'never');
    `;
    writeFileSync(join(folder, 'program.ts'), program);
    const { stdout } = await run(
      process.execPath,
      ['program.ts', vector('good-anchored', 'bundle.json'), vector('good-anchored', 'trust.json')],
      { cwd: folder },
    );
    expect(stdout).toBe('valid 2026-11-23T08:00:01.500000Z\n');
    const options = [
      '--noEmit',
      '--strict',
      '--module',
      'nodenext',
      '--target',
      'es2024',
      '--types',
      'node',
      '--typeRoots',
      join(ROOT, 'node_modules', '@types'),
    ];
    await run(process.execPath, [join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), ...options, 'program.ts'], {
      cwd: folder,
    });
  }, 60_000);
});
