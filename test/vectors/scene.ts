/** What the vectors are made of: two instances, two checkpoints of the first, and three proofs that it certified. */
import type { Bundle, HcsAnchorEntry } from '../../domain/bundle.ts';
import type { TrustDocument } from '../../domain/trust.ts';
import {
  anchorOf,
  assemble,
  checkpointOf,
  createInstance,
  digestOf,
  type Instance,
  type LogState,
  type Sealed,
  sealProof,
  stamp,
} from '../../local/evidence/instance.ts';

export const FILE = 'the file of the vectors\n';

export interface Scene {
  readonly instance: Instance;
  readonly stranger: Instance;
  readonly trust: TrustDocument;
  readonly sealed: Sealed;
  readonly leaves: readonly Uint8Array[];
  readonly early: LogState;
  readonly late: LogState;
  readonly anchor: HcsAnchorEntry;
  readonly lateAnchor: HcsAnchorEntry;
  /** Index 3 of the early checkpoint, anchored. */
  readonly good: Bundle;
  /** Index 5 of the same checkpoint. */
  readonly neighbour: Bundle;
  /** Index 9 of the late one. */
  readonly later: Bundle;
  /** A proof of the other instance. */
  readonly foreign: Bundle;
}

export async function makeScene(): Promise<Scene> {
  const instance = await createInstance('alpha');
  const stranger = await createInstance('beta');
  const proofs = Array.from({ length: 12 }, (_, n) => sealProof(instance, n, digestOf(n === 3 ? FILE : `file ${n}`)));
  const leaves = proofs.map(({ leaf }) => leaf);
  const early = await checkpointOf(instance, leaves.slice(0, 7));
  const late = await checkpointOf(instance, leaves);
  const timestamps = [await stamp(instance, early.body)];
  const lateTimestamps = [await stamp(instance, late.body)];
  const anchor = anchorOf(early.note, 5);
  const lateAnchor = anchorOf(late.note, 6);
  const [sealed, fifth, ninth] = [proofs[3], proofs[5], proofs[9]] as [Sealed, Sealed, Sealed];
  const theirs = sealProof(stranger, 0, digestOf(FILE));
  const theirLog = await checkpointOf(stranger, [theirs.leaf]);
  return {
    instance,
    stranger,
    trust: instance.trust,
    sealed,
    leaves,
    early,
    late,
    anchor,
    lateAnchor,
    good: assemble(instance, { sealed, index: 3, log: early, timestamps, anchors: [anchor] }),
    neighbour: assemble(instance, { sealed: fifth, index: 5, log: early, timestamps, anchors: [anchor] }),
    later: assemble(instance, {
      sealed: ninth,
      index: 9,
      log: late,
      timestamps: lateTimestamps,
      anchors: [lateAnchor],
    }),
    foreign: assemble(stranger, {
      sealed: theirs,
      index: 0,
      log: theirLog,
      timestamps: [await stamp(stranger, theirLog.body)],
      anchors: [anchorOf(theirLog.note, 5)],
    }),
  };
}
