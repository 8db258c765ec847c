/** Lints the contract: the recommended rules for OpenAPI 3.1. Lists every fault and exits 1 if there is one. */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

interface Fault {
  readonly ruleId: string;
  readonly message: string;
  readonly location: readonly { readonly pointer?: string }[];
}
interface Linter {
  createConfig(config: object): Promise<object>;
  lint(options: { ref: string; config: object }): Promise<Fault[]>;
}

// The linter comes with the generator of types.
const require = createRequire(new URL('./generator/node_modules/openapi-typescript/package.json', import.meta.url));
const { createConfig, lint } = require('@redocly/openapi-core') as Linter;

// Every operation answers all its problems by `default`.
const config = await createConfig({ extends: ['recommended'], rules: { 'operation-4xx-response': 'off' } });
const faults = await lint({ ref: fileURLToPath(new URL('./openapi.yaml', import.meta.url)), config });
for (const { ruleId, message, location } of faults)
  process.stdout.write(`${ruleId}: ${message} ${location[0]?.pointer ?? ''}\n`);
process.exitCode = faults.length === 0 ? 0 : 1;
