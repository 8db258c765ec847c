/**
 * Checks the import arrows between the top-level folders ("rooms", CONTRIBUTING.md) over every import of every source
 * file, type-only ones too, and that no file imports itself in a circle. Prints each fault; exit code 1 if any.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../', import.meta.url));

/** What each room may import beside itself. `test/` and tests beside the code may import every room. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  domain: [],
  log: [],
  verifier: ['domain', 'log'],
  prisma: [],
  store: ['domain', 'log'],
  // Types alone of `activities`: checked below.
  workflows: ['domain', 'activities'],
  activities: ['domain', 'log', 'store'],
  workers: ['domain', 'log', 'store', 'activities', 'workflows', 'temporal-config'],
  api: ['domain', 'store', 'verifier'],
  'temporal-config': [],
  // Scripts for whoever deploys the contract: they read the same ledger file as the adapter.
  contracts: ['domain', 'activities'],
  // The supervisor applies migrations and search attributes, and starts the other rooms as processes.
  local: ['domain', 'log', 'prisma', 'temporal-config'],
  // It migrates a database of its own to measure the store alone.
  bench: ['domain', 'log', 'store', 'verifier', 'local', 'prisma'],
};

/** Files that may do what their room may not, each with its reason. */
const EXCEPTIONS: Readonly<Record<string, readonly string[]>> = {
  // The soak drives the adapter and its activities themselves.
  'bench/soak/ledger-soak.ts': ['activities'],
  'bench/soak/mortal-worker.ts': ['activities'],
  // The demonstration verifies what it downloads, as a stranger would.
  'local/demo.ts': ['verifier'],
  // It measures the rendering and signing of PDFs alone, apart from the system around it.
  'bench/figures/pdfs.ts': ['activities'],
  // Measures the client that production uses.
  'bench/figures/seals.ts': ['activities'],
  // The simulated ledger gets the contract by the very script that operators run.
  'local/hedera/provision-registry.ts': ['contracts'],
  // The pools are named in one table.
  'local/stack/start-stack.ts': ['workflows'],
};

/** Rooms that also run in a browser. */
const NO_NODE = ['domain', 'log', 'verifier'];
const NODE_ALLOWED = [/^verifier\/(?:cli|node)\//, /^verifier\/(?:proofline|cli|main)[^/]*\.ts$/];

interface Import {
  readonly from: string;
  readonly to: string;
  readonly isTypeOnly: boolean;
}

const IMPORT =
  /^\s*(?:import|export)\s+(type\s)?(?:[^'"`;]*?\sfrom\s+)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm;

function main(): void {
  const files = readdirSync(ROOT, { recursive: true, encoding: 'utf8' }).filter(
    (path) => path.endsWith('.ts') && !/(^|\/)(node_modules|generated|\.proofline|\.git)\//.test(path),
  );
  const imports = files.flatMap(readImports);
  const faults = [...imports.flatMap(judge), ...findCircles(imports)];
  for (const fault of faults) console.error(fault);
  console.log(`${files.length} files, ${imports.length} imports, ${faults.length} faults`);
  process.exitCode = faults.length === 0 ? 0 : 1;
}

function readImports(from: string): Import[] {
  const text = readFileSync(join(ROOT, from), 'utf8');
  return [...text.matchAll(IMPORT)].map((match) => {
    const target = match[2] ?? match[3] ?? '';
    const to = target.startsWith('.') ? relative(ROOT, join(ROOT, dirname(from), target)) : target;
    return { from, to, isTypeOnly: match[1] !== undefined };
  });
}

function judge({ from, to, isTypeOnly }: Import): string[] {
  const room = roomOf(from);
  if (room === undefined || room === 'test' || isTestFile(from)) return [];
  if (isTestFile(to) || to.startsWith('test/')) return [`${from}: imports ${to}, which is for tests`];
  if (to.startsWith('node:')) {
    const isBrowserRoom = NO_NODE.includes(room) && !NODE_ALLOWED.some((pattern) => pattern.test(from));
    return isBrowserRoom ? [`${from}: imports ${to}, but ${room}/ also runs in a browser`] : [];
  }
  const target = roomOf(to);
  if (target === undefined || target === room || EXCEPTIONS[from]?.includes(target)) return [];
  if (!MAY_IMPORT[room]?.includes(target)) return [`${from}: ${room}/ may not import ${to}`];
  if (room === 'workflows' && target === 'activities' && !isTypeOnly) {
    return [`${from}: workflows/ may import only types of ${to}`];
  }
  return [];
}

/** Tests, and what stands beside them for their sake: `x.test.ts`, `test-x.ts`. */
function isTestFile(path: string): boolean {
  return /\.test\.ts$|(^|\/)test-[^/]*\.ts$/.test(path);
}

function roomOf(path: string): string | undefined {
  const [head = '', ...rest] = path.split('/');
  return rest.length > 0 && (head === 'test' || Object.hasOwn(MAY_IMPORT, head)) ? head : undefined;
}

/** Circles of imports that exist at run time; types alone cannot hurt. */
function findCircles(imports: readonly Import[]): string[] {
  const targets = new Map<string, string[]>();
  for (const { from, to, isTypeOnly } of imports) {
    if (!isTypeOnly) targets.set(from, [...(targets.get(from) ?? []), to]);
  }
  const done = new Set<string>();
  const circles: string[] = [];
  const walk = (file: string, path: readonly string[]): void => {
    const at = path.indexOf(file);
    if (at >= 0) circles.push(`circle: ${[...path.slice(at), file].join(' → ')}`);
    if (at >= 0 || done.has(file)) return;
    for (const next of targets.get(file) ?? []) walk(next, [...path, file]);
    done.add(file);
  };
  for (const file of targets.keys()) walk(file, []);
  return circles;
}

main();
