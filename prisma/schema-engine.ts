/**
 * Prisma's schema engine as WebAssembly over the `pg` adapter: migrations as `prisma migrate deploy` applies them (the
 * same `_prisma_migrations` table), without the native engine that Prisma's CLI downloads.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { PrismaPg } from '@prisma/adapter-pg';
import { bindMigrationAwareSqlAdapterFactory, ColumnTypeEnum } from '@prisma/driver-adapter-utils';
import * as bindings from '@prisma/schema-engine-wasm/schema_engine_bg';
import pg from 'pg';

export type SchemaEngine = bindings.SchemaEngine;

const CHAR_OID = 18;

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
    const factory = mendedAdapter(pool, (fault) => {
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
 * The adapter with two faults mended. It would cut scripts at every semicolon, those inside function bodies too, and
 * run the pieces one by one: sent whole, a script is one implicit transaction. And it refuses the catalogue's type
 * `"char"`, which introspection reads: it passes as text, and is called a character again in the result.
 */
function mendedAdapter(pool: pg.Pool, onFault: (fault: Error) => void): PrismaPg {
  const query = pool.query.bind(pool) as (...input: unknown[]) => Promise<pg.QueryResult>;
  const charColumns = new WeakMap<object, ReadonlySet<number>>();
  pool.query = (async (...input: unknown[]) => {
    const result = await query(...input);
    const chars = result.fields.flatMap((field, i) => (field.dataTypeID === CHAR_OID ? [i] : []));
    for (const i of chars) Object.assign(result.fields[i] ?? {}, { dataTypeID: pg.types.builtins.TEXT });
    charColumns.set(result.rows, new Set(chars));
    return result;
  }) as typeof pool.query;
  const factory = new PrismaPg(pool);
  const connect = factory.connect.bind(factory);
  factory.connect = async () => {
    const adapter = await connect();
    const queryRaw = adapter.queryRaw.bind(adapter);
    adapter.queryRaw = async (statement) => {
      const result = await queryRaw(statement);
      const chars = charColumns.get(result.rows);
      const columnTypes = result.columnTypes.map((type, i) => (chars?.has(i) ? ColumnTypeEnum.Character : type));
      return { ...result, columnTypes };
    };
    adapter.executeScript = async (script) => {
      await query(script).catch((fault: Error) => {
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
