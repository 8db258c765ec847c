/** How a request for commands looks from outside. */
import type { CommandId } from '../domain/ids.ts';
import type { CommandItem, CommandRecord } from '../store/command-requests.ts';
import type { components } from './generated/contract.ts';
import type { ApiSettings } from './route.ts';

export type CommandBody = components['schemas']['Command'];

export function commandPath(id: CommandId): string {
  return `/v1/commands/${id}`;
}

export function describeCommand(
  record: CommandRecord,
  items: readonly CommandItem[],
  { publicUrl }: ApiSettings,
): CommandBody {
  const { id, verb, actor, reason, matched, pending, applied, refused } = record;
  return {
    id,
    verb,
    actor,
    reason,
    state: stateOf(record),
    matched,
    counted: record.is_counted,
    // Proofs that a filter has yet to reach are pending too, as far as they still match when their turn comes.
    pending: record.is_expanded ? pending : Math.max(pending, matched - applied - refused),
    applied,
    refused,
    createdAt: record.created_at,
    items: items.map((item) => ({
      proof: item.proof_id,
      state: item.state,
      code: item.code,
      detail: item.detail,
      finishedAt: item.finished_at,
    })),
    links: { self: `${publicUrl}${commandPath(id)}` },
  };
}

function stateOf({ is_expanded, pending, applied, refused }: CommandRecord): CommandBody['state'] {
  if (!is_expanded || pending > 0) return 'PENDING';
  if (refused === 0) return 'APPLIED';
  return applied === 0 ? 'REFUSED' : 'APPLIED_IN_PART';
}
