/** What the registry contract remembers of a log: for the mode that anchors nowhere else. */
import { fromHex, toHex } from '../../domain/bytes.ts';
import { buildAnchorMessage, originId } from '../../domain/ledger/anchor-message.ts';
import {
  ANCHORED_TOPIC,
  eventDataOf,
  longZeroAddress,
  registryEntryOf,
  topicsOf,
} from '../../domain/ledger/checkpoint-registry.ts';
import { parseEntityId, parseLedgerTime } from '../../domain/ledger/entity-id.ts';
import type { ContractConfig, LedgerConfig } from './ledger-config.ts';
import { type MirrorClient, MirrorUnreachable } from './mirror-client.ts';
import { type AnchoredTree, askInTurn, type NewestAnchor } from './newest-anchor.ts';

/** A mirror searches logs by topic within seven days at a time. */
const SPAN_SECONDS = 7n * 86_400n;
/** A year: an older entry is not looked for. */
const MAX_SPANS = 53;
/** What is newer than the newest closed block lies at most so far behind it. */
const BEHIND_BLOCK_SECONDS = 60n;

/** Of this log, published by our account: a contract may have other publishers. As `createNewestAnchor` otherwise. */
export function createNewestEntry(
  config: LedgerConfig & { readonly contract: ContractConfig },
  origin: string,
): NewestAnchor {
  const { payerAccountId, contract } = config;
  const id = originId(origin);

  return askInTurn(config, async (mirror) => {
    const created = secondsOf((await mirror.read(`contracts/${contract.contractId}`))?.created_timestamp);
    if (created === undefined) throw new MirrorUnreachable(`${mirror.url} does not show the contract`);
    const publisher = await addressOf(mirror, payerAccountId);
    // A young network has closed no block since the contract was made.
    let to = (secondsOf(await mirror.newestBlockEnd()) ?? created) + BEHIND_BLOCK_SECONDS;
    for (let span = 0; span < MAX_SPANS && to > created; span++, to -= SPAN_SECONDS) {
      const query = [
        `topic0=${ANCHORED_TOPIC}`,
        `topic2=${word(id)}`,
        `topic3=${word(publisher.slice(2))}`,
        `timestamp=gte:${to - SPAN_SECONDS}.000000000`,
        `timestamp=lte:${to}.000000000`,
      ];
      const body = await mirror.read(
        `contracts/${contract.contractId}/results/logs?${query.join('&')}&limit=25&order=desc`,
      );
      if (!Array.isArray(body?.logs)) throw new MirrorUnreachable(`${mirror.url} answered without logs`);
      const trees = body.logs.flatMap((log: unknown) => treeOf(log, origin, publisher) ?? []);
      const [largest] = trees.sort((a, b) => (a.size < b.size ? 1 : -1));
      if (largest !== undefined) return largest;
    }
    return undefined;
  });
}

/** The tree of an event, if it is exactly the one that our call for that tree makes. */
function treeOf(log: unknown, origin: string, publisher: string): AnchoredTree | undefined {
  if (typeof log !== 'object' || log === null || !('topics' in log) || !('data' in log)) return undefined;
  const { topics, data } = log;
  if (!Array.isArray(topics) || typeof data !== 'string') return undefined;
  const root = fromHex(String(topics[1]).slice(2));
  const size = fromHex(data.slice(2, 66));
  if (root?.length !== 32 || size?.length !== 32 || size.subarray(0, 24).some((byte) => byte !== 0)) return undefined;
  const tree = { size: BigInt(`0x${toHex(size)}`), root };
  const entry = registryEntryOf(buildAnchorMessage({ origin, ...tree }));
  if (entry === undefined || data !== eventDataOf(entry)) return undefined;
  return topics.join() === topicsOf(entry, publisher).join() ? tree : undefined;
}

/** An account with an alias calls by it, any other by its number. */
async function addressOf(mirror: MirrorClient, account: string): Promise<string> {
  const address = (await mirror.read(`accounts/${account}?transactions=false`))?.evm_address;
  if (typeof address === 'string' && /^0x[0-9a-f]{40}$/.test(address)) return address;
  return longZeroAddress(parseEntityId(account)?.num ?? 0n);
}

const word = (digits: string): string => `0x${digits.padStart(64, '0')}`;

function secondsOf(time: unknown): bigint | undefined {
  return typeof time === 'string' ? parseLedgerTime(time)?.seconds : undefined;
}
