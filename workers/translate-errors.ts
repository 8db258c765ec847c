import { ApplicationFailure } from '@temporalio/common';
import type { ActivityExecuteInput, ActivityInboundCallsInterceptor, Next } from '@temporalio/worker';
import { ProoflineError } from '../domain/errors.ts';

/**
 * The one place where errors of the catalogue become ApplicationFailures: code as type, non-retryable from the
 * catalogue, detail without secrets. Whatever else is thrown is a fault of ours and stays retryable.
 */
export function toApplicationFailure(error: unknown): unknown {
  if (!(error instanceof ProoflineError)) return error;
  return ApplicationFailure.create({
    type: error.code,
    message: error.message,
    nonRetryable: !error.entry.retryable,
    details: [error.extra],
    cause: error,
  });
}

export const translateErrors: ActivityInboundCallsInterceptor = {
  async execute(input: ActivityExecuteInput, next: Next<ActivityInboundCallsInterceptor, 'execute'>): Promise<unknown> {
    try {
      return await next(input);
    } catch (error) {
      throw toApplicationFailure(error);
    }
  },
};
