import type { TimelineRow } from './api-client.ts';

export const heading = (text: string): void => console.log(`\n── ${text}`);

/** A line with the seconds since the demonstration began. */
export function createTeller(beganMs: number): (line: string) => void {
  return (line) => console.log(`${((Date.now() - beganMs) / 1000).toFixed(1).padStart(6)} s  ${line}`);
}

/** The life of a proof: each step, when, and how long after the one before. */
export function timelineTable(rows: readonly TimelineRow[]): string {
  let last: number | undefined;
  const lines = rows.map(({ state, at }) => {
    const time = Date.parse(at);
    const after = last === undefined ? '' : `+${((time - last) / 1000).toFixed(3)} s`;
    last = time;
    return `  ${state.padEnd(20)} ${at}  ${after.padStart(10)}`;
  });
  const [first, final] = [rows[0], rows.at(-1)];
  if (first !== undefined && final !== undefined) {
    const total = (Date.parse(final.at) - Date.parse(first.at)) / 1000;
    lines.push(`  ${'in all'.padEnd(20)} ${' '.repeat(27)}  ${`${total.toFixed(3)} s`.padStart(10)}`);
  }
  return lines.join('\n');
}

/** `2 ANCHORED, 998 CERTIFIED`. */
export function statesInWords(states: Readonly<Record<string, number>>): string {
  return Object.entries(states)
    .filter(([, count]) => count > 0)
    .map(([state, count]) => `${count} ${state}`)
    .join(', ');
}
