import type { System } from './system.ts';

export interface BenchContext {
  /** Started at the first use, shared by the figures of a run. */
  system(): Promise<System>;
  readonly quick: boolean;
  say(line: string): void;
}

/** What one figure publishes: rows of cells, the first row the header. */
export interface Section {
  readonly title: string;
  /** How it was measured, in full sentences. */
  readonly method: string;
  readonly table: readonly (readonly string[])[];
  /** What the numbers mean, against their aims. */
  readonly notes: readonly string[];
}

export type Figure = (context: BenchContext) => Promise<Section>;
