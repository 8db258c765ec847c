/**
 * The nightly walk along the topic: every message in its place, each running hash from the one before, none that is not
 * ours, and every anchor of ours where its entry says. A check of `checkIntegrity`; what it finds raises an alarm too.
 */
import type { HcsAnchorEntry } from '../../domain/bundle.ts';
import { equalBytes, fromBase64Url, toBase64Url, toHex } from '../../domain/bytes.ts';
import { type Clock, toMicros } from '../../domain/clock.ts';
import { ProoflineError } from '../../domain/errors.ts';
import { type AnchorMessage, originId, parseAnchorMessage } from '../../domain/ledger/anchor-message.ts';
import { parseEntityId, parseLedgerTime } from '../../domain/ledger/entity-id.ts';
import { FIRST_PREV_RUNNING_HASH, RUNNING_HASH_VERSION, runningHashV3 } from '../../domain/ledger/running-hash.ts';
import { type AlarmKind, raiseAlarm, readEndedAlarms } from '../../store/alarms.ts';
import { type OwnAnchor, readAnchorsAt, readAnchorsBeyond, readOwnAnchors } from '../../store/anchors.topic.ts';
import type { Db } from '../../store/pool.ts';
import { moveTopicCursor, readTopicCursor, type TopicCursor } from '../../store/topic-cursors.ts';
import type { CheckInput, CheckStep } from '../integrity/check-integrity.ts';
import type { LedgerConfig } from './ledger-config.ts';
import { type MirrorClient, type MirrorMessage, MirrorUnreachable } from './mirror-client.ts';

/** Pages of 100 messages that one call reads: a few seconds of a mirror that allows 50 requests a second. */
const PAGES_A_CALL = 20;

export interface TopicWalkDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly origin: string;
  readonly config: Pick<LedgerConfig, 'network' | 'topicId' | 'payerAccountId'>;
  /** Asked in turn: the first that answers tells. */
  readonly mirrors: readonly MirrorClient[];
  readonly heartbeat: (detail: unknown) => void;
}

const BREAKS: readonly AlarmKind[] = ['topic.gap', 'topic.hash_break', 'topic.anchor_missing'];

/** What was verified so long ago and is not shown by a mirror is missing, not late. */
const LATE_MS = 15 * 60_000;

interface Fault {
  readonly kind: AlarmKind;
  readonly sequence: bigint;
  readonly text: string;
}

export function createTopicWalk({ db, clock, origin, config, mirrors, heartbeat }: TopicWalkDeps) {
  const { network, topicId } = config;
  const id = originId(origin);

  return {
    /**
     * Walks on from the stored cursor; on the first night of a month from the first message on. Key (topic, sequence): a
     * repeat finds the same. Throws LEDGER_UNAVAILABLE if no mirror answers.
     */
    async checkTopic({ at, after }: CheckInput): Promise<CheckStep> {
      const isWhole = at.slice(8, 10) === '01';
      let cursor = await startOf(after, isWhole);
      const faults: Fault[] = [];
      let checked = 0;
      for (let page = 0; page < PAGES_A_CALL; page++) {
        const messages = await read(cursor.sequenceNumber);
        if (messages.length === 0) return finish(checked, [...faults, ...(await beyond(cursor))]);
        const own = await readOwnAnchors(db, origin, sizesOf(messages));
        const placed = await readAnchorsAt(db, config, messages[0] as MirrorMessage, messages.at(-1) as MirrorMessage);
        // A mirror that goes backwards would be followed for ever.
        if ((messages.at(-1) as MirrorMessage).sequenceNumber <= cursor.sequenceNumber)
          throw new ProoflineError('LEDGER_UNAVAILABLE', `a mirror shows topic ${topicId} out of order`);
        for (const message of messages) {
          faults.push(...judge(message, cursor, own, placed));
          cursor = { sequenceNumber: message.sequenceNumber, runningHash: message.runningHash };
        }
        faults.push(...missing(messages, placed));
        checked += messages.length;
        // Only what is without a break is remembered: after one, every later walk begins before it again.
        if (!faults.some(({ kind }) => BREAKS.includes(kind)))
          await moveTopicCursor(db, config, cursor, clock.nowMicros());
        heartbeat({ sequence: cursor.sequenceNumber.toString() });
      }
      const step = await finish(checked, faults);
      return { ...step, after: `${cursor.sequenceNumber}:${toBase64Url(cursor.runningHash)}` };
    },
  };

  async function startOf(after: string | undefined, isWhole: boolean): Promise<TopicCursor> {
    const beginning = { sequenceNumber: 0n, runningHash: FIRST_PREV_RUNNING_HASH };
    if (after === undefined) return (isWhole ? undefined : await readTopicCursor(db, config)) ?? beginning;
    const [sequence = '', hash = ''] = after.split(':');
    return { sequenceNumber: BigInt(sequence), runningHash: fromBase64Url(hash) ?? beginning.runningHash };
  }

  /** Anchors that were verified after the last message that is shown. */
  async function beyond({ sequenceNumber }: TopicCursor): Promise<Fault[]> {
    const before = toMicros(BigInt(clock.nowMs() - LATE_MS) * 1_000n);
    return (await readAnchorsBeyond(db, config, sequenceNumber, before)).map((sequence) => missingAt(sequence));
  }

  async function read(after: bigint): Promise<readonly MirrorMessage[]> {
    let cause: unknown;
    for (const mirror of mirrors) {
      try {
        return await mirror.messagesAfter(topicId, after);
      } catch (error) {
        if (!(error instanceof MirrorUnreachable)) throw error;
        cause = error;
      }
    }
    throw new ProoflineError('LEDGER_UNAVAILABLE', `no mirror shows topic ${topicId}`, { cause });
  }

  function judge(
    message: MirrorMessage,
    before: TopicCursor,
    own: ReadonlyMap<string, OwnAnchor>,
    placed: ReadonlyMap<string, HcsAnchorEntry>,
  ): Fault[] {
    const { sequenceNumber: sequence, payer, runningHash } = message;
    const faults: Fault[] = [];
    const say = (kind: AlarmKind, text: string): void => void faults.push({ kind, sequence, text });
    if (sequence !== before.sequenceNumber + 1n) say('topic.gap', `follows message ${before.sequenceNumber}`);
    else if (!isNext(message, before))
      say('topic.hash_break', 'its running hash does not follow from the message before');
    if (payer !== config.payerAccountId) say('topic.foreign_payer', `is paid by ${payer}`);
    const anchor = parseAnchorMessage(Buffer.from(message.message).toString('latin1'));
    if (anchor?.originId !== id) {
      if (payer === config.payerAccountId && anchor === undefined) say('topic.foreign_message', 'is no anchor message');
      return faults;
    }
    if (!isKnown(anchor, own)) say('topic.unknown_anchor', `anchors a tree of ${anchor.size} that we never asked for`);
    const entry = placed.get(sequence.toString());
    if (entry !== undefined && entry.runningHash !== toBase64Url(runningHash))
      say('topic.hash_break', 'has another running hash than the anchor that was verified there');
    return faults;
  }

  async function finish(checked: number, found: readonly Fault[]): Promise<CheckStep> {
    const subjectOf = ({ sequence }: Fault): string => `topic:${network}:${topicId}:${sequence}`;
    const settled = await readEndedAlarms(db, found.map(subjectOf));
    // What a person has looked at and ended is on the ledger for ever: it is no news.
    const faults = found.filter((fault) => !settled.has(`${fault.kind} ${subjectOf(fault)}`)).slice(0, 1_000);
    const at = clock.nowMicros();
    for (const fault of faults)
      await raiseAlarm(db, { kind: fault.kind, subject: subjectOf(fault), detail: { text: fault.text }, at });
    return {
      checked,
      faults: faults.map(({ kind, sequence, text }) =>
        `${kind}: message ${sequence} of ${topicId} ${text}`.slice(0, 200),
      ),
    };
  }
}

/** Anchors that were verified between the first and the last message of a page, and are not there. */
function missing(messages: readonly MirrorMessage[], placed: ReadonlyMap<string, HcsAnchorEntry>): Fault[] {
  const shown = new Set(messages.map(({ sequenceNumber }) => sequenceNumber.toString()));
  return [...placed.keys()].filter((sequence) => !shown.has(sequence)).map((sequence) => missingAt(BigInt(sequence)));
}

const missingAt = (sequence: bigint): Fault => ({
  kind: 'topic.anchor_missing',
  sequence,
  text: 'was verified and is not shown any more',
});

const sizesOf = (messages: readonly MirrorMessage[]): bigint[] =>
  messages.flatMap(({ message }) => parseAnchorMessage(Buffer.from(message).toString('latin1'))?.size ?? []);

const isKnown = ({ size, root }: AnchorMessage, own: ReadonlyMap<string, OwnAnchor>): boolean =>
  own.get(size.toString())?.root === toHex(root);

function isNext(message: MirrorMessage, before: TopicCursor): boolean {
  const payer = parseEntityId(message.payer);
  const topicId = parseEntityId(message.topicId);
  const consensusTimestamp = parseLedgerTime(message.consensusTimestamp);
  if (payer === undefined || topicId === undefined || consensusTimestamp === undefined) return false;
  if (message.runningHashVersion !== RUNNING_HASH_VERSION) return false;
  const { sequenceNumber, message: bytes } = message;
  const prevRunningHash = before.runningHash;
  return equalBytes(
    message.runningHash,
    runningHashV3({ prevRunningHash, payer, topicId, consensusTimestamp, sequenceNumber, message: bytes }),
  );
}
