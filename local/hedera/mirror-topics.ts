/** A mirror's routes for topics and their messages. */
import { isVisible, type MirrorContext } from './mirror-context.ts';
import { keyJson } from './mirror-json.ts';
import {
  type Answer,
  BadParameter,
  cut,
  linkAfter,
  type MirrorRequest,
  normaliseId,
  notFound,
  ok,
  parseInteger,
  parseTimestamp,
  readPage,
  readRange,
} from './mirror-query.ts';
import type { Topic, TopicMessage } from './state.ts';
import { nanosToText } from './wire.ts';

export function topicById({ context, params }: MirrorRequest): Answer {
  const topic = visibleTopic(context, params.id);
  return topic === undefined ? notFound : ok(topicJson(topic));
}

export function listMessages({ context, params, url }: MirrorRequest): Answer {
  const topic = visibleTopic(context, params.id);
  if (topic === undefined) return notFound;
  const page = readPage(url, 'asc');
  const inSequence = readRange(url, 'sequencenumber', parseInteger);
  const inTime = readRange(url, 'timestamp', parseTimestamp);
  const encoding = readEncoding(url);
  const rows = topic.messages.filter(
    (row) => isVisible(context, row) && inSequence(row.sequenceNumber) && inTime(row.consensusNanos),
  );
  const shown = cut(rows, page);
  const cursor = { name: 'sequencenumber', last: shown.at(-1)?.sequenceNumber.toString() };
  return ok({
    links: { next: linkAfter(url, page, cursor, shown.length === rows.length) },
    messages: shown.map((row) => messageJson(row, encoding)),
  });
}

export function messageBySequence({ context, params, url }: MirrorRequest): Answer {
  const topic = visibleTopic(context, params.id);
  const sequence = params.sequence ?? '';
  if (!/^[1-9][0-9]{0,15}$/.test(sequence)) throw new BadParameter('sequencenumber');
  const row = topic?.messages[Number(sequence) - 1];
  return row !== undefined && isVisible(context, row) ? ok(messageJson(row, readEncoding(url))) : notFound;
}

export function messageByTime({ context, params, url }: MirrorRequest): Answer {
  const nanos = parseTimestamp(params.timestamp ?? '');
  if (nanos === undefined) throw new BadParameter('timestamp');
  for (const topic of context.state.topics.values()) {
    const row = topic.messages.find((message) => message.consensusNanos === nanos);
    if (row !== undefined && isVisible(context, row)) return ok(messageJson(row, readEncoding(url)));
  }
  return notFound;
}

function visibleTopic(context: MirrorContext, text: string | undefined): Topic | undefined {
  const id = normaliseId(text ?? '');
  if (id === undefined) throw new BadParameter('topicId');
  const topic = context.state.topics.get(id);
  return topic !== undefined && isVisible(context, { handledAtMs: topic.createdAtMs }) ? topic : undefined;
}

function readEncoding(url: URL): 'base64' | 'utf8' {
  const encoding = (url.searchParams.get('encoding') ?? 'base64').toLowerCase();
  if (encoding === 'base64') return 'base64';
  if (encoding === 'utf-8' || encoding === 'utf8') return 'utf8';
  throw new BadParameter('encoding');
}

function topicJson(topic: Topic): Record<string, unknown> {
  return {
    admin_key: keyJson(topic.adminKey),
    auto_renew_account: topic.autoRenewAccount ?? null,
    auto_renew_period: topic.autoRenewSeconds,
    created_timestamp: nanosToText(topic.createdNanos),
    custom_fees: { created_timestamp: nanosToText(topic.createdNanos), fixed_fees: [] },
    deleted: topic.isDeleted,
    fee_exempt_key_list: [],
    fee_schedule_key: null,
    memo: topic.memo,
    submit_key: keyJson(topic.submitKey),
    timestamp: { from: nanosToText(topic.changedNanos), to: null },
    topic_id: topic.id,
  };
}

function messageJson(row: TopicMessage, encoding: 'base64' | 'utf8'): Record<string, unknown> {
  const [account, start] = row.initialTransaction.id.split('@');
  return {
    chunk_info: {
      initial_transaction_id: { account_id: account, nonce: 0, scheduled: false, transaction_valid_start: start },
      number: row.initialTransaction.number,
      total: row.initialTransaction.total,
    },
    consensus_timestamp: nanosToText(row.consensusNanos),
    message: Buffer.from(row.message).toString(encoding),
    payer_account_id: row.payer,
    running_hash: Buffer.from(row.runningHash).toString('base64'),
    running_hash_version: 3,
    sequence_number: Number(row.sequenceNumber),
    topic_id: row.topic,
  };
}
