/** The topic as a mirror shows it against our anchors: each checkpoint once, none that is not ours, none missing. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseAnchorMessage } from '../../domain/ledger/anchor-message.ts';
import type { Audit, AuditInput } from './finding.ts';

interface Message {
  readonly sequence_number: number;
  /** Base64. */
  readonly message: string;
}

export async function auditAnchors({ stack, owner, dataDir }: AuditInput): Promise<Audit> {
  const faults: string[] = [];
  const { topicId } = JSON.parse(await readFile(join(dataDir, 'ledger.json'), 'utf8')) as { topicId: string };
  const onLedger = new Map<string, number>();
  for (const { sequence_number: sequence, message } of await walkTopic(stack.info.hederaMirrorUrl, topicId)) {
    const text = Buffer.from(message, 'base64').toString('latin1');
    const anchor = parseAnchorMessage(text);
    if (anchor === undefined) faults.push(`message ${sequence} is no anchor: ${text}`);
    else if (onLedger.has(String(anchor.size))) faults.push(`size ${anchor.size} is on the ledger twice`);
    else onLedger.set(String(anchor.size), sequence);
  }
  const { rows } = await owner.query<{ size: bigint; state: string; sequence: string | null; attempts: number }>(
    `SELECT a.size, a.state, a.entry ->> 'sequenceNumber' AS sequence, a.attempt AS attempts FROM anchors a`,
  );
  for (const { size, state, sequence } of rows) {
    const found = onLedger.get(String(size));
    onLedger.delete(String(size));
    if (state !== 'VERIFIED' || String(found) !== sequence)
      faults.push(`the anchor of size ${size} is ${state} at ${sequence}, on the ledger at ${found}`);
  }
  for (const size of onLedger.keys()) faults.push(`size ${size} is on the ledger and not among the anchors`);
  return {
    faults,
    figures: { anchors: rows.length, 'anchor attempts': rows.reduce((sum, row) => sum + row.attempts, 0) },
  };
}

async function walkTopic(mirrorUrl: string, topicId: string): Promise<readonly Message[]> {
  const messages: Message[] = [];
  let path: string | null = `/api/v1/topics/${topicId}/messages?limit=100&order=asc`;
  while (path !== null) {
    const response: Response = await fetch(`${mirrorUrl}${path}`);
    const page = (await response.json()) as { messages: Message[]; links: { next: string | null } };
    messages.push(...page.messages);
    path = page.links.next;
  }
  return messages;
}
