/**
 * What the ledger remembers of a log: the largest tree that we anchored, as a mirror shows it. No restored database and
 * no new signer takes it back.
 */
import { ProoflineError } from '../../domain/errors.ts';
import { originId, parseAnchorMessage } from '../../domain/ledger/anchor-message.ts';
import { LEDGER_DEFAULTS, type LedgerConfig } from './ledger-config.ts';
import { createMirrorTransport, type MirrorClient, type MirrorMessage } from './mirror-client.ts';

/** Messages of others are passed over this far: 1,000 of a shared topic. */
const MAX_PAGES = 10;

export interface AnchoredTree {
  readonly size: bigint;
  /** 32 bytes. */
  readonly root: Uint8Array;
}

export interface NewestAnchor {
  /** Undefined if none is among the newest messages. Asks the mirrors in turn. Throws LEDGER_UNAVAILABLE if none answers. */
  read(): Promise<AnchoredTree | undefined>;
  close(): void;
}

/** Of this log, paid by our account: anybody may write our format into a topic that is open to them. */
export function createNewestAnchor(config: LedgerConfig, origin: string): NewestAnchor {
  const id = originId(origin);

  const treeOf = ({ message, payer }: MirrorMessage): AnchoredTree | undefined => {
    const anchor =
      payer === config.payerAccountId ? parseAnchorMessage(Buffer.from(message).toString('latin1')) : undefined;
    return anchor?.originId === id ? anchor : undefined;
  };
  /** Of one page that has any: anchors under way at once reach consensus within moments of each other. */
  const walk = async (mirror: MirrorClient): Promise<AnchoredTree | undefined> => {
    let below: bigint | undefined;
    for (let page = 0; page < MAX_PAGES; page++) {
      const messages = await mirror.newestMessages(config.topicId, below);
      const [largest] = messages.flatMap((m) => treeOf(m) ?? []).sort((a, b) => (a.size < b.size ? 1 : -1));
      if (largest !== undefined) return { size: largest.size, root: largest.root };
      below = messages.at(-1)?.sequenceNumber;
      if (below === undefined || below === 1n) return undefined;
    }
    return undefined;
  };

  return askInTurn(config, walk);
}

/** Each mirror is asked until one answers. */
export function askInTurn(
  { mirrors, mirrorTimeoutMs = LEDGER_DEFAULTS.mirrorTimeoutMs }: LedgerConfig,
  walk: (mirror: MirrorClient) => Promise<AnchoredTree | undefined>,
): NewestAnchor {
  const transport = createMirrorTransport(mirrorTimeoutMs);
  return {
    async read() {
      let cause: unknown;
      for (const url of mirrors) {
        try {
          return await walk(transport.mirror(url));
        } catch (error) {
          cause = error;
        }
      }
      throw new ProoflineError('LEDGER_UNAVAILABLE', 'no mirror tells the newest anchor', { cause });
    },
    close: () => transport.close(),
  };
}
