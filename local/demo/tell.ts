export const heading = (text: string): void => console.log(`\n── ${text}`);

/** A line with the seconds since the demonstration began. */
export function createTeller(beganMs: number): (line: string) => void {
  return (line) => console.log(`${((Date.now() - beganMs) / 1000).toFixed(1).padStart(6)} s  ${line}`);
}

/** `2 ANCHORED, 998 CERTIFIED`. */
export function statesInWords(states: Readonly<Record<string, number>>): string {
  return Object.entries(states)
    .filter(([, count]) => count > 0)
    .map(([state, count]) => `${count} ${state}`)
    .join(', ');
}
