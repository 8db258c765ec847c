import type { PartContext } from './local-parts.ts';
import type { PartSpec } from './part.ts';

export async function startLedger(
  _context: PartContext,
  _start: (spec: PartSpec) => Promise<void>,
  _consensusDelayMs: number,
): Promise<string> {
  return '';
}
