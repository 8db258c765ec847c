/** A page for one message, under the path that explorers of public networks use: `/{network}/transaction/{timestamp}`. */
import { isVisible, type MirrorContext } from './mirror-context.ts';
import type { TopicMessage } from './state.ts';
import { nanosToText } from './wire.ts';

const PATH = /^\/([a-z][a-z0-9-]*)\/transaction\/([0-9]{1,19}\.[0-9]{9})$/;

/** Undefined for other paths; `found` is false for a message that this mirror does not show. */
export function explorerPage(
  context: MirrorContext,
  path: string,
): { readonly found: boolean; readonly html: string } | undefined {
  const match = PATH.exec(path);
  if (match === null) return undefined;
  const handled = context.state.transactions.find(
    (row) => nanosToText(row.consensusNanos) === match[2] && isVisible(context, row),
  );
  if (handled?.message === undefined)
    return { found: false, html: page('Not found', '<p>No message at this time.</p>') };
  const rows: readonly (readonly [string, string])[] = [
    ['Transaction', handled.id],
    ['Result', handled.status],
    ['Node', handled.node],
    ['Fee', `${handled.chargedFee} tinybars`],
    ...messageRows(handled.message),
  ];
  const table = rows
    .map(([name, value]) => `<tr><th>${escapeHtml(name)}</th><td><code>${escapeHtml(value)}</code></td></tr>`)
    .join('');
  return {
    found: true,
    html: page(
      'Message on the simulated ledger',
      `<p>A simulation on this machine: it proves nothing to others.</p><table>${table}</table>`,
    ),
  };
}

function messageRows(message: TopicMessage): readonly (readonly [string, string])[] {
  return [
    ['Topic', message.topic],
    ['Sequence number', message.sequenceNumber.toString()],
    ['Consensus timestamp', nanosToText(message.consensusNanos)],
    ['Payer', message.payer],
    ['Message', Buffer.from(message.message).toString('utf8')],
    ['Running hash', Buffer.from(message.runningHash).toString('hex')],
  ];
}

function page(title: string, body: string): string {
  const style =
    'body{font:16px system-ui;margin:3rem auto;max-width:60rem;padding:0 1rem}th{text-align:left;padding-right:1rem;white-space:nowrap}code{word-break:break-all}';
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><style>${style}</style><h1>${title}</h1>${body}</html>`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
}
