/** A call of the registry contract as a mirror shows its result (`/contracts/results/{transaction id}`). */
import type { ContractAnchorEntry } from '../bundle.ts';
import { encodeAnchorCall, eventDataOf, registryEntryOf, topicsOf } from './checkpoint-registry.ts';

/**
 * Why the result is not that of the anchor, or undefined. The call must have succeeded, with the very arguments that
 * the message makes, and the contract's one event says what was recorded.
 */
export function findCallFault(result: unknown, entry: ContractAnchorEntry): string | undefined {
  const anchor = registryEntryOf(entry.message);
  if (anchor === undefined) return 'the contract has no arguments for the message';
  const row = members(result);
  const expected: Readonly<Record<string, readonly [unknown, unknown]>> = {
    contract: [row.contract_id, entry.contractId],
    'consensus timestamp': [row.timestamp, entry.consensusTimestamp],
    outcome: [`${row.status} ${row.result}`, '0x1 SUCCESS'],
    caller: [row.from, entry.publisher],
    call: [row.function_parameters, encodeAnchorCall(anchor)],
    'number of events': [Array.isArray(row.logs) ? row.logs.length : undefined, 1],
  };
  const found = Object.entries(expected).find(([, [shown, held]]) => shown !== held);
  if (found !== undefined) return `another ${found[0]}`;
  const { contract_id: emitter, topics, data } = members((row.logs as unknown[])[0]);
  const held = [entry.contractId, ...topicsOf(anchor, entry.publisher), eventDataOf(anchor)];
  const shown = [emitter, ...(Array.isArray(topics) ? topics : []), data];
  return shown.length === held.length && shown.every((value, i) => value === held[i]) ? undefined : 'another event';
}

function members(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
