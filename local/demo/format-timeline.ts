import { parseInstant } from '../../domain/time.ts';
import type { TimelineStep } from './demo-client.ts';

/** One line a step: state, instant, and how long it took since the step before and since the first, in ms. */
export function formatTimeline(steps: readonly TimelineStep[]): string {
  const instants = steps.map((step) => parseInstant(step.at) ?? 0n);
  const first = instants[0] ?? 0n;
  const ms = (micros: bigint): string => `${(Number(micros) / 1000).toFixed(0)} ms`;
  return steps
    .map(({ state, at }, i) => {
      const since = (instants[i] ?? first) - (instants[i - 1] ?? first);
      const total = (instants[i] ?? first) - first;
      return `  ${state.padEnd(20)} ${at}  ${(i === 0 ? '' : `+${ms(since)}`).padStart(10)}  ${(i === 0 ? '' : ms(total)).padStart(9)}`;
    })
    .join('\n');
}
