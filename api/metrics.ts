/** Metrics of the API process. Labels are route templates, statuses and codes; never a tenant, an id or text. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export interface Metrics {
  readonly registry: Registry;
  readonly requestSeconds: Histogram<'method' | 'route' | 'status'>;
  readonly problems: Counter<'code'>;
  readonly acceptGroupRequests: Histogram;
  readonly acceptGroupProofs: Histogram;
  readonly proofsAccepted: Counter;
  readonly waiters: Gauge;
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  return {
    registry,
    requestSeconds: new Histogram({
      name: 'proofline_http_request_duration_seconds',
      help: 'Time to answer, by route template and status.',
      labelNames: ['method', 'route', 'status'],
      buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    }),
    problems: new Counter({
      name: 'proofline_http_problems_total',
      help: 'Problem documents by code.',
      labelNames: ['code'],
      registers,
    }),
    acceptGroupRequests: new Histogram({
      name: 'proofline_accept_group_requests',
      help: 'Requests that shared one insert.',
      buckets: [1, 2, 5, 10, 20, 50, 100, 200, 500],
      registers,
    }),
    acceptGroupProofs: new Histogram({
      name: 'proofline_accept_group_proofs',
      help: 'Proofs that shared one insert.',
      buckets: [1, 10, 100, 1000, 5000, 12000],
      registers,
    }),
    proofsAccepted: new Counter({ name: 'proofline_proofs_accepted_total', help: 'Proofs committed.', registers }),
    waiters: new Gauge({ name: 'proofline_http_waiters', help: 'Requests that wait for a final state.', registers }),
  };
}
