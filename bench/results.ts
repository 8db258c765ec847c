/** `bench/RESULTS.md`: one section a figure, each replaced by the run that measured it last. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Section } from './figure.ts';
import { show } from './statistics.ts';

const FILE = fileURLToPath(new URL('./RESULTS.md', import.meta.url));
const HEAD = `# Benchmark results

Each section is written by \`npm run bench -- <name>\`; every figure stands beside its baseline of the same run. All parts, the
load generator too, share the machine named in the section. fsync, full_page_writes and synchronous_commit are on in every
figure. Nothing here is a test: figures below their aim are published with what bounds them.
`;

/** The table as aligned Markdown, which reads well on a terminal too. */
export function formatTable(table: Section['table']): string {
  const widths = (table[0] ?? []).map((_, column) => Math.max(3, ...table.map((row) => (row[column] ?? '').length)));
  const line = (row: readonly string[]): string =>
    `| ${widths.map((width, column) => (row[column] ?? '').padEnd(width)).join(' | ')} |`;
  const [header = [], ...rows] = table;
  return [line(header), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...rows.map(line)].join('\n');
}

/** The machine as it was just before a figure. */
export interface Before {
  /** Load average of a minute. */
  readonly load: string;
  /** What `measureCores` says. */
  readonly cores: number;
}

/** Writes the section over an earlier one of the same name. */
export function writeSection(name: string, section: Section, before: Before): void {
  const text = [
    `<!-- ${name} -->`,
    `## ${section.title}`,
    '',
    section.method,
    '',
    `${describeMachine()}; before the figure: load average ${before.load}, ${show(before.cores)} P-256 signatures verified a second by all cores.`,
    '',
    formatTable(section.table),
    ...(section.notes.length === 0 ? [] : ['', ...section.notes.map((note) => `- ${note}`)]),
    '',
    `<!-- /${name} -->`,
  ].join('\n');
  const all = existsSync(FILE) ? readFileSync(FILE, 'utf8') : HEAD;
  const from = all.indexOf(`<!-- ${name} -->`);
  const endMark = `<!-- /${name} -->`;
  const to = all.indexOf(endMark);
  writeFileSync(
    FILE,
    from < 0 || to < 0 ? `${all.trimEnd()}\n\n${text}\n` : all.slice(0, from) + text + all.slice(to + endMark.length),
  );
}

function describeMachine(): string {
  const memory = Math.round(totalmem() / 2 ** 30);
  const commit = execFileSync('git', ['rev-parse', '--short=10', 'HEAD'], { encoding: 'utf8' }).trim();
  return `${new Date().toISOString().slice(0, 16)}Z, commit ${commit}, ${cpus().length} × ${cpus()[0]?.model.trim()}, ${memory} GiB, Linux ${release()}, Node ${process.versions.node}`;
}
