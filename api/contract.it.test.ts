import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Express } from 'express';
import { parse } from 'yaml';
import { parseProofInput } from '../domain/proof-input.ts';
import { toExpressPath } from './route.ts';
import { startTestServer, type TestServer } from './test-server.ts';
import { CONTRACT_FILE } from './validation.ts';

interface Operation {
  readonly operationId: string;
  readonly responses: Record<string, unknown>;
}
interface Contract {
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: Record<string, Record<string, unknown>>;
}

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];
const text = await readFile(CONTRACT_FILE, 'utf8');
const contract: Contract = parse(text);
let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

function operations(): { readonly name: string; readonly operation: Operation }[] {
  return Object.entries(contract.paths).flatMap(([path, item]) =>
    Object.entries(item)
      .filter(([method]) => METHODS.includes(method))
      .map(([method, operation]) => ({ name: `${method} ${toExpressPath(path)}`, operation })),
  );
}

/** What Express itself holds, not our table. */
function expressRoutes(app: Express): string[] {
  return app.router.stack.flatMap(({ route }) => {
    if (route === undefined) return [];
    const methods = [...new Set(route.stack.map(({ method }) => method))];
    return methods.map((method) => `${method} ${route.path}`);
  });
}

describe('the contract', () => {
  it('names exactly the routes that Express has, without wildcards', () => {
    const served = expressRoutes(server.app).sort();
    expect(served).toEqual(
      operations()
        .map(({ name }) => name)
        .sort(),
    );
    expect(served.filter((name) => /[*(]|undefined/.test(name))).toEqual([]);
  });

  it('passes the linter', async () => {
    const script = fileURLToPath(new URL('./lint-contract.ts', import.meta.url));
    await expect(promisify(execFile)(process.execPath, [script])).resolves.toMatchObject({ stdout: '' });
  });

  it('gives each operation an id of its own and a problem for every other status', () => {
    const all = operations();
    expect(new Set(all.map(({ operation }) => operation.operationId)).size).toBe(all.length);
    for (const { operation } of all) expect(Object.keys(operation.responses)).toContain('default');
  });

  it('refers only to what it defines, defines nothing unused, and never says nullable', () => {
    const used = new Set(
      [...text.matchAll(/#\/components\/(\w+)\/([\w-]+)/g)].map(([, kind, name]) => `${kind}/${name}`),
    );
    const defined = Object.entries(contract.components)
      .filter(([kind]) => kind !== 'securitySchemes')
      .flatMap(([kind, members]) => Object.keys(members).map((name) => `${kind}/${name}`));
    expect([...used].sort()).toEqual(defined.sort());
    expect(text).not.toContain('nullable');
  });

  it('limits an item exactly as the reader of bulk items does', () => {
    const schemas = contract.components.schemas as Record<
      string,
      { properties?: object; maxLength?: number; maxItems?: number; enum?: string[] }
    >;
    expect(Object.keys(schemas.ProofInput?.properties ?? {})).toEqual(['digest', 'reference', 'metadata']);
    for (const [alg, length] of [
      ['sha-256', 64],
      ['sha-384', 96],
      ['sha-512', 128],
    ] as const) {
      expect(schemas.DigestAlgorithm?.enum).toContain(alg);
      const limit = schemas.Reference?.maxLength ?? 0;
      const item = { digest: { alg, value: 'a'.repeat(length) }, reference: 'é'.repeat(limit) };
      expect(parseProofInput(item)).toEqual(item);
      expect(() => parseProofInput({ ...item, reference: `${item.reference}é` })).toThrow('REFERENCE_TOO_LONG');
    }
  });

  it('gives the committed types and client when they are generated again', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'proofline-generated-'));
    await promisify(execFile)(process.execPath, [fileURLToPath(new URL('./generate.ts', import.meta.url)), folder]);
    const committed = await readTree(fileURLToPath(new URL('./generated', import.meta.url)));
    const fresh = await readTree(folder);
    await rm(folder, { recursive: true });
    expect(Object.keys(fresh).sort()).toEqual(Object.keys(committed).sort());
    for (const [file, content] of Object.entries(fresh))
      expect({ file, same: content === committed[file] }).toEqual({ file, same: true });
  });
});

async function readTree(folder: string): Promise<Record<string, string>> {
  const out: Record<string, string> = {};
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    out[relative(folder, file)] = await readFile(file, 'utf8');
  }
  return out;
}
