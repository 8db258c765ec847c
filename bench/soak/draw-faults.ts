/** What goes wrong during the soak, drawn by chance: faults of nodes, consensus and mirrors, with how likely each is. */
import type { Fault } from '../../local/hedera/faults.ts';

export interface DrawnFault {
  readonly name: string;
  readonly fault: Fault;
}

type Draw = (below: (n: number) => number) => Fault;

const UNAVAILABLE = 14;
const CANCELLED = 1;
const CORRUPTIONS = ['message', 'runningHash', 'sequence', 'timestamp', 'payer'] as const;
const submit = { type: 'submitMessage' } as const;

/** Only what a crash, an overload or a broken mirror can do: nodes and a quorum of mirrors do not lie. */
const MENU: readonly (readonly [name: string, weight: number, draw: Draw])[] = [
  [
    'send refused by the connection',
    10,
    (below) => ({ at: 'ingest', match: submit, effect: { grpc: UNAVAILABLE, when: 'before' }, times: 1 + below(5) }),
  ],
  [
    'sent, answer lost',
    14,
    (below) => ({ at: 'ingest', match: submit, effect: { grpc: UNAVAILABLE, when: 'after' }, times: 1 + below(3) }),
  ],
  [
    'sent, node died while answering',
    8,
    () => ({ at: 'ingest', match: submit, effect: { grpc: CANCELLED, when: 'after' } }),
  ],
  ['node busy', 12, (below) => ({ at: 'ingest', match: submit, effect: { precheck: 'BUSY' }, times: 1 + below(6) })],
  [
    'queue of the platform full',
    6,
    (below) => ({
      at: 'ingest',
      match: submit,
      effect: { precheck: 'PLATFORM_TRANSACTION_NOT_CREATED' },
      times: 1 + below(4),
    }),
  ],
  [
    'platform upgrading',
    4,
    (below) => ({ at: 'ingest', match: submit, effect: { precheck: 'PLATFORM_NOT_ACTIVE' }, times: 1 + below(6) }),
  ],
  [
    "clock behind the node's",
    3,
    () => ({ at: 'ingest', match: submit, effect: { precheck: 'INVALID_TRANSACTION_START' } }),
  ],
  [
    'payer without funds',
    2,
    () => ({ at: 'ingest', match: submit, effect: { precheck: 'INSUFFICIENT_PAYER_BALANCE' } }),
  ],
  ['no answer to a send', 2, () => ({ at: 'ingest', match: submit, effect: { drop: true } })],
  ['throttled at consensus', 5, () => ({ at: 'consensus', effect: { status: 'THROTTLED_AT_CONSENSUS' } })],
  ['signature refused at consensus', 2, () => ({ at: 'consensus', effect: { status: 'INVALID_SIGNATURE' } })],
  ['accepted, then lost before consensus', 4, () => ({ at: 'consensus', effect: { drop: true } })],
  [
    'receipt refused by the connection',
    10,
    (below) => ({ at: 'receipt', effect: { grpc: UNAVAILABLE, when: 'before' }, times: 1 + below(6) }),
  ],
  [
    'receipt not found',
    8,
    (below) => ({ at: 'receipt', effect: { precheck: 'RECEIPT_NOT_FOUND' }, times: 1 + below(8) }),
  ],
  [
    'node busy when asked for the receipt',
    6,
    (below) => ({ at: 'receipt', effect: { precheck: 'BUSY' }, times: 1 + below(4) }),
  ],
  ['mirror limits requests', 8, (below) => ({ at: 'mirrorRest', effect: { http: 429 }, times: 1 + below(6) })],
  ['mirror fails', 8, (below) => ({ at: 'mirrorRest', effect: { http: 503 }, times: 1 + below(6) })],
  [
    'one mirror lies',
    3,
    (below) => ({
      at: 'mirrorRest',
      match: { node: '1', type: 'topics' },
      effect: { corrupt: CORRUPTIONS[below(CORRUPTIONS.length)] ?? 'message' },
    }),
  ],
];

const TOTAL = MENU.reduce((sum, [, weight]) => sum + weight, 0);

/** `below(n)`: an integer from 0 to n - 1. */
export function drawFault(below: (n: number) => number): DrawnFault {
  let left = below(TOTAL);
  for (const [name, weight, draw] of MENU) {
    if (left < weight) return { name, fault: draw(below) };
    left -= weight;
  }
  throw new RangeError('the weights do not add up');
}
