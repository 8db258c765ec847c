import {
  abandonSuspect,
  acceptSuspect,
  allowRetry,
  readPendingCommand,
  refuseAnchorCommand,
} from '../../store/anchor-commands.ts';
import { type AnchorStep, held, isHeld, type SettleInput, step } from './anchor-step.ts';
import type { Anchoring } from './anchoring.ts';
import { summary, toPrepared, verifiedParts } from './attempt-row.ts';

/**
 * Applies what operators decided about an anchor that is held: `retry` lets a rejected one be tried again; `abandon`
 * gives a suspect one up; `accept` lets it stand if every mirror that is still believed shows it, else the command is
 * refused. Key (command). Returns the anchor as it then is, held if nobody has decided. Throws LEDGER_NOT_CONFIRMED.
 */
export function createSettleAnchor({ db, ledger, clock, loadNewest, applyCover, heartbeat }: Anchoring) {
  return async function settleAnchor({ origin, size, isRetryAsked }: SettleInput): Promise<AnchorStep> {
    const anchorKey = { origin, size: BigInt(size) };
    for (;;) {
      const { anchor, row } = await loadNewest(anchorKey);
      const command = await readPendingCommand(db, anchorKey);
      const now = clock.nowMicros();
      if (command === undefined) {
        if (anchor.state === 'FAILED') return { attempt: anchor.attempt, state: 'FAILED', isAbandoned: true };
        if (isRetryAsked && isHeld(row, anchor) && anchor.state === 'REJECTED') {
          await allowRetry(db, { ...anchorKey, now });
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
      } else if (command.verb === 'retry') await allowRetry(db, decision);
      else if (command.verb === 'abandon') await abandonSuspect(db, decision);
      else {
        const distrusted = command.evidence?.distrustedMirrors ?? [];
        const confirmation = await ledger.confirmWithout(toPrepared(row), distrusted);
        if (confirmation.kind === 'verified') {
          const confirmed = { mirrors: confirmation.mirrors, at: now, acceptedBy: command.id };
          await acceptSuspect(db, { ...decision, ...verifiedParts(confirmation), confirmation: confirmed });
        } else {
          const detail = `the mirrors that are believed do not show it: ${summary(confirmation.mirrors)}`;
          await refuseAnchorCommand(db, { ...decision, code: 'LEDGER_SUSPECT', detail });
        }
      }
      heartbeat({ settled: command.id });
    }
  };
}
