/**
 * Writes the server's types and the client from the contract: `npm run generate`, or with a folder as argument into
 * that one. Both generators need the compiler API of TypeScript 5, which the workspace api/generator brings.
 */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { registerHooks } from 'node:module';
import { join } from 'node:path';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';

const contract = new URL('./openapi.yaml', import.meta.url);
const workspace = new URL('./generator/package.json', import.meta.url).href;
const folder = argv[2] ?? fileURLToPath(new URL('./generated', import.meta.url));

registerHooks({
  resolve(specifier, context, nextResolve) {
    const isOurs = ['typescript', 'openapi-typescript', '@hey-api/openapi-ts'].includes(specifier);
    return nextResolve(specifier, isOurs ? { ...context, parentURL: workspace } : context);
  },
});

await rm(folder, { recursive: true, force: true });
await writeClient(join(folder, 'client'));
await writeTypes(join(folder, 'contract.ts'));

async function writeTypes(file: string): Promise<void> {
  const generator: typeof import('./generator/node_modules/openapi-typescript/dist/index.mjs') = await import(
    'openapi-typescript' as string
  );
  const { default: openapiTS, astToString, COMMENT_HEADER } = generator;
  await writeFile(file, COMMENT_HEADER + astToString(await openapiTS(contract)));
}

async function writeClient(path: string): Promise<void> {
  const { createClient } = await import('@hey-api/openapi-ts');
  await createClient({
    input: fileURLToPath(contract),
    output: { path, module: { extension: '.ts' } },
    plugins: ['@hey-api/typescript', '@hey-api/sdk', '@hey-api/client-fetch'],
    logs: { level: 'silent' },
  });
  await silenceRuntime(path);
}

/** The client's runtime is written for compilers without exactOptionalPropertyTypes; its types serve us all the same. */
async function silenceRuntime(path: string): Promise<void> {
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.parentPath === path) continue;
    const file = join(entry.parentPath, entry.name);
    await writeFile(file, `// @ts-nocheck\n${await readFile(file, 'utf8')}`);
  }
}
