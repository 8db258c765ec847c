/**
 * `npm run bench [-- name…] [--quick] [--dry]`: measures figures, prints each table and writes its section into
 * bench/RESULTS.md. Without names: every figure, some fifteen minutes; `--quick` takes a fifth; `--dry` writes nothing.
 */
import { loadavg } from 'node:os';
import type { BenchContext, Figure } from './figure.ts';
import { measureAccepts } from './figures/accepts.ts';
import { measureBacklog } from './figures/backlog.ts';
import { measureBulk } from './figures/bulk.ts';
import { measureFlood } from './figures/flood.ts';
import { measureIntegration } from './figures/integrate.ts';
import { measureLicences } from './figures/licences.ts';
import { measureLone } from './figures/lone.ts';
import { measurePdfs } from './figures/pdfs.ts';
import { measureProfile } from './figures/profile.ts';
import { measureReceipts } from './figures/receipts.ts';
import { measureSeals } from './figures/seals.ts';
import { measureSingles } from './figures/singles.ts';
import { measureSizes } from './figures/sizes.ts';
import { measureTokens } from './figures/tokens.ts';
import { measureVerification } from './figures/verify.ts';
import { measureWakes } from './figures/wakes.ts';
import { measureCores } from './measure-cores.ts';
import { formatTable, writeSection } from './results.ts';
import { type System, startSystem } from './system.ts';

const FIGURES: Readonly<Record<string, Figure>> = {
  lone: measureLone,
  receipts: measureReceipts,
  accepts: measureAccepts,
  singles: measureSingles,
  flood: measureFlood,
  wakes: measureWakes,
  bulk: measureBulk,
  sizes: measureSizes,
  integrate: measureIntegration,
  licences: measureLicences,
  verify: measureVerification,
  pdfs: measurePdfs,
  tokens: measureTokens,
  seals: measureSeals,
  profile: measureProfile,
  // Last: what it leaves is not worked off.
  backlog: measureBacklog,
};

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  const names = args.filter((arg) => !arg.startsWith('--'));
  const unknown = [
    ...names.filter((name) => !Object.hasOwn(FIGURES, name)),
    ...args.filter((arg) => arg.startsWith('--') && arg !== '--quick' && arg !== '--dry'),
  ];
  if (unknown.length > 0)
    throw new Error(`no ${unknown.join(', ')}; there are ${Object.keys(FIGURES).join(', ')}, --quick, --dry`);

  let starting: Promise<System> | undefined;
  const context: BenchContext = {
    quick: args.includes('--quick'),
    say: (line) => console.log(`  ${line}`),
    system() {
      starting ??= startSystem();
      return starting;
    },
  };
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopping ??= Promise.resolve(starting?.catch(() => undefined)).then((system) => system?.stop());
    return stopping;
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void stop().finally(() => process.exit(1)));
  try {
    for (const [name, measure] of Object.entries(FIGURES)) {
      if (names.length > 0 && !names.includes(name)) continue;
      const load = loadavg()[0]?.toFixed(1) ?? '';
      const cores = await measureCores();
      console.log(`\n── ${name}`);
      const section = await measure(context);
      console.log(`\n${section.title}\n${formatTable(section.table)}`);
      for (const note of section.notes) console.log(`- ${note}`);
      if (!args.includes('--dry')) writeSection(name, section, { load, cores });
    }
  } finally {
    await stop();
  }
}

main().then(
  () => process.exit(0),
  (fault: unknown) => {
    console.error(fault);
    process.exit(1);
  },
);
