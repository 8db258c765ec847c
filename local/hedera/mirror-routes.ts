/** Which path of a mirror's REST interface is answered by what; the first line that fits counts. */

import { contractById, contractLogs, contractResult } from './evm-mirror.ts';
import { accountById, listAccounts, listBalances } from './mirror-accounts.ts';
import { blockById, listBlocks } from './mirror-blocks.ts';
import { estimateFee, exchangeRate, listFees, listNodes } from './mirror-network.ts';
import { type Answer, BadParameter, type MirrorRequest, notFound, problem } from './mirror-query.ts';
import { listMessages, messageBySequence, messageByTime, topicById } from './mirror-topics.ts';
import { listTransactions, transactionById } from './mirror-transactions.ts';

type Route = readonly [method: 'GET' | 'POST', pattern: string, answer: (request: MirrorRequest) => Answer];

const ROUTES: readonly Route[] = [
  ['GET', 'accounts', listAccounts],
  ['GET', 'accounts/:id', accountById],
  ['GET', 'balances', listBalances],
  ['GET', 'blocks', listBlocks],
  ['GET', 'blocks/:hashOrNumber', blockById],
  ['GET', 'contracts/results/:id', contractResult],
  ['GET', 'contracts/:id', contractById],
  ['GET', 'contracts/:id/results/logs', contractLogs],
  ['GET', 'network/exchangerate', exchangeRate],
  ['GET', 'network/fees', listFees],
  ['POST', 'network/fees', estimateFee],
  ['GET', 'network/nodes', listNodes],
  ['GET', 'topics/messages/:timestamp', messageByTime],
  ['GET', 'topics/:id', topicById],
  ['GET', 'topics/:id/messages', listMessages],
  ['GET', 'topics/:id/messages/:sequence', messageBySequence],
  ['GET', 'transactions', listTransactions],
  ['GET', 'transactions/:id', transactionById],
];

/** `path` without `/api/v1/`. Never throws for what a client sent. */
export function answerRoute(method: string, path: string, request: Omit<MirrorRequest, 'params'>): Answer {
  for (const [verb, pattern, answer] of ROUTES) {
    const params = verb === method ? match(pattern, path) : undefined;
    if (params === undefined) continue;
    try {
      return answer({ ...request, params });
    } catch (error) {
      if (error instanceof BadParameter) return problem(400, error.message);
      throw error;
    }
  }
  return notFound;
}

function match(pattern: string, path: string): Record<string, string> | undefined {
  const [wanted, given] = [pattern.split('/'), path.split('/')];
  if (wanted.length !== given.length) return undefined;
  const params: Record<string, string> = {};
  for (const [i, segment] of wanted.entries()) {
    const text = given[i] ?? '';
    if (segment.startsWith(':')) params[segment.slice(1)] = text;
    else if (segment !== text) return undefined;
  }
  return params;
}
