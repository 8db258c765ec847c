/**
 * A worker as a process of its own, which dies by SIGKILL at a step: `persisted` (signed and stored, nothing sent),
 * `sent` (a node took it, nothing noted), `received` (consensus, nothing noted), `confirmed` (mirrors agree, nothing
 * noted), or never. Its work comes as JSON in ANCHORING.
 */
import { createPrivateKey } from 'node:crypto';
import { createLedgerActivities } from '../../activities/ledger/anchor-activities.ts';
import type { AnchorLedger } from '../../activities/ledger/anchor-ledger.ts';
import { createHederaLedger } from '../../activities/ledger/hedera-ledger.ts';
import type { LedgerConfig } from '../../activities/ledger/ledger-config.ts';
import { systemClock } from '../../domain/clock.ts';
import { createPool } from '../../store/pool.ts';
import { type LedgerKey, resolveFrom } from './ledger-keys.ts';

export type DeathPoint = 'persisted' | 'sent' | 'received' | 'confirmed' | 'never';

export interface AnchoringWork {
  readonly dbUrl: string;
  readonly config: LedgerConfig;
  /** Name → PKCS #8 PEM. */
  readonly keys: Readonly<Record<string, string>>;
  readonly anchor: { readonly origin: string; readonly size: string };
  readonly dies: DeathPoint;
}

const { dbUrl, config, keys, anchor, dies } = JSON.parse(process.env.ANCHORING ?? '{}') as AnchoringWork;
const db = createPool({ url: dbUrl, max: 4, applicationName: 'anchoring', onError: () => undefined });
const clock = systemClock();
const held = Object.fromEntries(
  Object.entries(keys).map(([name, pem]): [string, LedgerKey] => {
    const privateKey = createPrivateKey(pem);
    const { x = '' } = privateKey.export({ format: 'jwk' }) as { x?: string };
    return [name, { privateKey, publicKey: Buffer.from(x, 'base64url') }];
  }),
);
const ledger = createHederaLedger({ config, keys: resolveFrom(held), clock, random: Math.random });

/** Nothing runs after it: no handler, no flush, no rollback of ours. */
function dieAt(point: DeathPoint): void {
  if (dies === point) process.kill(process.pid, 'SIGKILL');
}

const mortal: AnchorLedger = {
  ...ledger,
  async submit(prepared) {
    const outcome = await ledger.submit(prepared);
    dieAt('sent');
    return outcome;
  },
  async receipt(prepared, round) {
    const outcome = await ledger.receipt(prepared, round);
    if (outcome.kind === 'consensus') dieAt('received');
    return outcome;
  },
  async confirm(prepared, receipt) {
    const confirmation = await ledger.confirm(prepared, receipt);
    if (confirmation.kind === 'verified') dieAt('confirmed');
    return confirmation;
  },
};
const activities = createLedgerActivities({ db, ledger: mortal, clock, advanceEvidence: async () => false });

const { attempt, state } = await activities.prepareAnchor(anchor);
dieAt('persisted');
const key = { ...anchor, attempt };
if (state === 'PREPARED' || state === 'SENT') await activities.submitAnchor(key);
await activities.awaitAnchorReceipt(key);
for (;;) {
  const step = await activities.confirmAnchor(key).catch(() => undefined);
  if (step?.state === 'VERIFIED') break;
}
ledger.close();
await db.end();
process.exit(0);
