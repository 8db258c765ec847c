/**
 * Prisma's schema engine as WebAssembly over the `pg` adapter: migrations as `prisma migrate deploy` applies them (the
 * same `_prisma_migrations` table), without the native engine that Prisma's CLI downloads.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { PrismaPg } from '@prisma/adapter-pg';
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils';
import * as bindings from '@prisma/schema-engine-wasm/schema_engine_bg';
import pg from 'pg';

export type SchemaEngine = bindings.SchemaEngine;

let loaded: Promise<void> | undefined;

/** Runs `use` with an engine over the database of `url`; `datamodel` is a schema.prisma where the call needs one. */
export async function withEngine<T>(
  url: string,
  use: (engine: SchemaEngine) => Promise<T>,
  datamodel?: string,
): Promise<T> {
  loaded ??= load();
  await loaded;
  const pool = new pg.Pool({ connectionString: url, max: 2, connectionTimeoutMillis: 10_000 });
  pool.on('error', () => {});
  let failedScript: Error | undefined;
  try {
    const factory = wholeScripts(pool, (fault) => {
      failedScript = fault;
    });
    const adapter = bindMigrationAwareSqlAdapterFactory(factory);
    const datamodels: [string, string][] | undefined =
      datamodel === undefined ? undefined : [['schema.prisma', datamodel]];
    const engine = await bindings.SchemaEngine.new({ datamodels }, () => {}, adapter);
    try {
      return await use(engine);
    } finally {
      engine.free();
    }
  } catch (fault) {
    // The engine knows only that a script failed; Postgres said why and where.
    if (failedScript !== undefined) throw new Error(`${failedScript.message}${place(failedScript)}`, { cause: fault });
    throw fault;
  } finally {
    await pool.end();
  }
}

/**
 * The adapter as it is, but for scripts: it would cut them at every semicolon, those inside function bodies too, and
 * run the pieces one by one. Sent whole, a script is one implicit transaction.
 */
function wholeScripts(pool: pg.Pool, onFault: (fault: Error) => void): PrismaPg {
  const factory = new PrismaPg(pool);
  const connect = factory.connect.bind(factory);
  factory.connect = async () => {
    const adapter = await connect();
    adapter.executeScript = async (script) => {
      await pool.query(script).catch((fault: Error & { script?: string }) => {
        onFault(Object.assign(fault, { script }));
        throw fault;
      });
    };
    return adapter;
  };
  return factory;
}

function place(fault: Error & { position?: string; script?: string }): string {
  const { position, script } = fault;
  return position === undefined || script === undefined
    ? ''
    : ` (line ${script.slice(0, Number(position)).split('\n').length})`;
}

/** Node does not import `.wasm` files, which the package's own entry does; so it is instantiated by hand. */
async function load(): Promise<void> {
  const path = createRequire(import.meta.url).resolve('@prisma/schema-engine-wasm/schema_engine_bg');
  const wasm = readFileSync(path.replace(/\.js$/, '.wasm'));
  const imports: Record<string, unknown> = { ...bindings };
  for (const name of Object.keys(imports)) {
    // The engine never clears the ten-second timeout of its advisory lock; it must not keep a process alive.
    if (name.startsWith('__wbg_setTimeout_'))
      imports[name] = (run: () => void, ms: number) => setTimeout(run, ms >>> 0).unref();
  }
  const { instance } = await WebAssembly.instantiate(wasm, {
    './schema_engine_bg.js': imports as WebAssembly.ModuleImports,
  });
  const raw = bindings as unknown as { __wbg_set_wasm(exports: WebAssembly.Exports): void };
  raw.__wbg_set_wasm(instance.exports);
  (instance.exports as { __wbindgen_start?: () => void }).__wbindgen_start?.();
}
