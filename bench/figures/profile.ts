import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createPool } from '../../store/pool.ts';
import type { BenchContext, Section } from '../figure.ts';
import type { Job } from '../load/job.ts';
import { runLoad } from '../load/run-load.ts';
import { show } from '../statistics.ts';
import { type System, startSystem, untilIdle } from '../system.ts';

const PARTS = ['api', 'workers', 'relay', 'signer'] as const;
const TOP = 14;

/** Where the time goes: CPU by function in our processes, and by statement in Postgres, for singles and for bulk. */
export async function measureProfile(context: BenchContext): Promise<Section> {
  const table = [['load', 'where', 'share', 'what']];
  const notes: string[] = [];
  for (const load of ['singles', 'bulk'] as const) {
    const dir = join('/tmp', `proofline-prof-${process.pid}-${load}`);
    const settings = Object.fromEntries(
      PARTS.map((part) => [
        part,
        { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${dir} --cpu-prof-name=${part}.cpuprofile` },
      ]),
    );
    const system = await startSystem({
      settings,
      postgresSettings: { shared_preload_libraries: 'pg_stat_statements', 'pg_stat_statements.track': 'all' },
    });
    let window: readonly [number, number];
    let statements: readonly Statement[];
    try {
      await untilIdle(system);
      const db = createPool({ url: system.superuserUrl, max: 1, applicationName: 'bench', onError: () => undefined });
      await db.query('CREATE EXTENSION IF NOT EXISTS pg_stat_statements');
      await db.query('SELECT pg_stat_statements_reset()');
      const from = nowMicros();
      const result = await runLoad(jobOf(load, system, context.quick));
      window = [from, nowMicros()];
      statements = await readStatements(db);
      await db.end();
      notes.push(`${load}: ${show(result.done / result.seconds)} certified/s with the profilers on.`);
    } finally {
      await system.stop();
    }
    for (const part of PARTS) table.push(...(await summarise(load, part, dir, window)));
    const total = statements.reduce((sum, one) => sum + one.ms, 0);
    for (const one of statements.slice(0, TOP))
      table.push([
        load,
        'postgres',
        percent(one.ms / total),
        `${show(one.ms / one.calls)} ms × ${show(one.calls)}: ${one.query}`,
      ]);
  }
  return {
    title: 'Where the time goes',
    method:
      'The sampling profiler of Node (1 ms) in API, workers, relay and signer, self time by function over the seconds of load (idle left out: the share is of busy time, and the busy share of the seconds stands beside the process); pg_stat_statements by total execution time, statements inside functions too. The profilers slow the load, so rates here are no figures.',
    table,
    notes,
  };
}

function jobOf(load: 'singles' | 'bulk', system: System, quick: boolean): Job {
  const { apiUrl: url, apiKey } = system.stack.info;
  return load === 'singles'
    ? {
        kind: 'certify',
        url,
        path: '/v1/proofs?anchorPolicy=NONE',
        apiKey,
        concurrency: 1_000,
        warmUpSeconds: 2,
        seconds: quick ? 8 : 20,
      }
    : { kind: 'bulk', url, apiKey, submissions: quick ? 3 : 8, proofsEach: 10_000, atOnce: 4 };
}

const nowMicros = (): number => Number(process.hrtime.bigint() / 1000n);
const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  /** Microseconds of the monotonic clock. */
  readonly startTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

async function summarise(
  load: string,
  part: string,
  dir: string,
  [from, to]: readonly [number, number],
): Promise<string[][]> {
  const file = (await readdir(dir).catch(() => [])).find((name) => name.startsWith(part));
  if (file === undefined) return [[load, part, '–', 'left no profile']];
  const profile = JSON.parse(await readFile(join(dir, file), 'utf8')) as CpuProfile;
  const nameOf = new Map(profile.nodes.map((node) => [node.id, describe(node.callFrame)]));
  const self = new Map<string, number>();
  let at = profile.startTime;
  let busy = 0;
  let all = 0;
  profile.samples.forEach((id, i) => {
    const delta = profile.timeDeltas[i] ?? 0;
    at += delta;
    if (at < from || at > to) return;
    const name = nameOf.get(id) ?? '?';
    all += delta;
    if (name === '(idle)') return;
    busy += delta;
    self.set(name, (self.get(name) ?? 0) + delta);
  });
  const top = [...self].sort((a, b) => b[1] - a[1]).slice(0, TOP);
  return top.map(([name, micros], i) => [
    load,
    i === 0 ? `${part} (busy ${percent(busy / Math.max(1, all))})` : part,
    percent(micros / Math.max(1, busy)),
    name,
  ]);
}

function describe({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  const place = url
    .replace(/^.*\/node_modules\//, '')
    .replace(/^file:\/\/.*?\/(?=(?:api|store|domain|log|activities|workers|local|workflows)\/)/, '');
  return place === '' ? functionName : `${functionName || '(anonymous)'} ${place}:${lineNumber + 1}`;
}

interface Statement {
  readonly query: string;
  readonly calls: number;
  readonly ms: number;
}

async function readStatements(db: ReturnType<typeof createPool>): Promise<readonly Statement[]> {
  const { rows } = await db.query<Statement>(
    `SELECT left(regexp_replace(query, '\\s+', ' ', 'g'), 110) AS query, calls::float8 AS calls, total_exec_time AS ms FROM pg_stat_statements
     WHERE query NOT LIKE '%pg_stat_statements%' ORDER BY total_exec_time DESC LIMIT 60`,
  );
  return rows;
}
