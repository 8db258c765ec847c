import type { Clock } from '../../domain/clock.ts';
import {
  abandonSuspect,
  acceptSuspect,
  allowRetry,
  readPendingCommand,
  refuseAnchorCommand,
  type StandingEntry,
} from '../../store/anchor-commands.ts';
import type { AnchorKey, AnchorMedium, AnchorRow, AttemptRow } from '../../store/anchors.ts';
import type { Db } from '../../store/pool.ts';
import type { MirrorVerdict } from './anchor-ledger.ts';
import { type AnchorStep, held, isHeld, type SettleInput, step } from './anchor-step.ts';
import { summary } from './attempt-row.ts';

/** What the mirrors show that an operator still believes. */
export type BelievedMirrors =
  | { readonly kind: 'verified'; readonly stands: StandingEntry; readonly mirrors: readonly MirrorVerdict[] }
  | { readonly kind: 'seen' | 'pending' | 'suspect'; readonly mirrors: readonly MirrorVerdict[] };

/** A medium, as far as decisions about its anchors reach. */
export interface Settling {
  readonly medium: AnchorMedium;
  readonly db: Db;
  readonly clock: Clock;
  readonly heartbeat: (detail: unknown) => void;
  /** Throws NOT_FOUND without an attempt. */
  loadNewest(key: AnchorKey): Promise<{ readonly anchor: AnchorRow; readonly row: AttemptRow }>;
  applyCover(input: { readonly origin: string }): Promise<void>;
  confirmWithout(row: AttemptRow, distrustedMirrors: readonly string[]): Promise<BelievedMirrors>;
}

/**
 * Applies what operators decided about an anchor that is held: `retry` lets a rejected one be tried again; `abandon`
 * gives a suspect one up; `accept` lets it stand if every mirror that is still believed shows it, else the command is
 * refused. Key (command). Returns the anchor as it then is, held if nobody has decided. Throws LEDGER_NOT_CONFIRMED.
 */
export function createSettleAnchor({
  medium,
  db,
  clock,
  heartbeat,
  loadNewest,
  applyCover,
  confirmWithout,
}: Settling): (input: SettleInput) => Promise<AnchorStep> {
  return async function settleAnchor({ origin, size, isRetryAsked }: SettleInput): Promise<AnchorStep> {
    const anchorKey = { medium, origin, size: BigInt(size) };
    for (;;) {
      const { anchor, row } = await loadNewest(anchorKey);
      const command = await readPendingCommand(db, anchorKey);
      const now = clock.nowMicros();
      if (command === undefined) {
        if (anchor.state === 'FAILED') return { attempt: anchor.attempt, state: 'FAILED', isAbandoned: true };
        if (isRetryAsked && isHeld(row, anchor) && anchor.state === 'REJECTED') {
          await allowRetry(db, { ...anchorKey, isUpdate: true, now });
          return step(row);
        }
        if (anchor.state === 'VERIFIED') await applyCover({ origin });
        return isHeld(row, anchor) ? held(row, anchor) : step(row);
      }
      const decision = { ...anchorKey, attempt: row.attempt, command, now };
      const wanted = command.verb === 'retry' ? 'REJECTED' : 'SUSPECT';
      if (anchor.state !== wanted) {
        const detail = `${command.verb} of an anchor that is ${anchor.state}`;
        await refuseAnchorCommand(db, { ...decision, code: 'TRANSITION_NOT_ALLOWED', detail });
      } else if (command.verb === 'retry') await allowRetry(db, { ...anchorKey, isUpdate: false, now });
      else if (command.verb === 'abandon') await abandonSuspect(db, decision);
      else {
        const believed = await confirmWithout(row, command.evidence?.distrustedMirrors ?? []);
        const confirmation = { mirrors: believed.mirrors, at: now, acceptedBy: command.id };
        if (believed.kind === 'verified') await acceptSuspect(db, { ...decision, ...believed.stands, confirmation });
        else {
          const detail = `the mirrors that are believed do not show it: ${summary(believed.mirrors)}`;
          await refuseAnchorCommand(db, { ...decision, code: 'LEDGER_SUSPECT', detail });
        }
      }
      heartbeat({ settled: command.id });
    }
  };
}
