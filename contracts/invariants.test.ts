import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { REGISTRY_ERRORS } from '../domain/ledger/checkpoint-registry.ts';
import { deployRegistry, hexOf, OWNER, PUBLISHER, type Registry, rootOf, START, STRANGER } from './test-registry.ts';

const PEOPLE = [OWNER, PUBLISHER, STRANGER];

/** What the contract ought to hold. */
interface Model {
  owner: string;
  pending: string | undefined;
  isPaused: boolean;
  now: bigint;
  readonly publishers: Set<string>;
  readonly entries: Map<string, readonly [bigint, bigint, bigint]>;
}

type Call =
  | { readonly verb: 'anchor'; readonly from: string; readonly root: string; readonly size: bigint }
  | { readonly verb: 'setPublisher'; readonly from: string; readonly who: string; readonly isAllowed: boolean }
  | { readonly verb: 'setPaused'; readonly from: string; readonly isPaused: boolean }
  | { readonly verb: 'transferOwnership'; readonly from: string; readonly to: string | undefined }
  | { readonly verb: 'acceptOwnership'; readonly from: string }
  | { readonly verb: 'wait'; readonly seconds: bigint };

const person = fc.constantFrom(...PEOPLE);
const size = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const call: fc.Arbitrary<Call> = fc.oneof(
  // Few roots, so that they meet again; one of them is the root of nothing.
  {
    weight: 4,
    arbitrary: fc.record({
      verb: fc.constant('anchor' as const),
      from: person,
      root: fc.integer({ min: 0, max: 5 }).map(rootOf),
      size,
    }),
  },
  fc.record({ verb: fc.constant('setPublisher' as const), from: person, who: person, isAllowed: fc.boolean() }),
  fc.record({ verb: fc.constant('setPaused' as const), from: person, isPaused: fc.boolean() }),
  fc.record({
    verb: fc.constant('transferOwnership' as const),
    from: person,
    to: fc.option(person, { nil: undefined }),
  }),
  fc.record({ verb: fc.constant('acceptOwnership' as const), from: person }),
  fc.record({ verb: fc.constant('wait' as const), seconds: fc.bigInt({ min: 1n, max: 100_000n }) }),
);

describe('whatever is called by whomever in whatever order', () => {
  it('the contract holds what the model holds, an entry never changes, and only events of what happened are told', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(call, { minLength: 1, maxLength: 30 }), async (calls) => {
        const registry = await deployRegistry();
        const model: Model = {
          owner: OWNER,
          pending: undefined,
          isPaused: false,
          now: START,
          publishers: new Set([PUBLISHER]),
          entries: new Map(),
        };
        for (const one of calls) await step(registry, model, one);
        await compare(registry, model);
      }),
      { numRuns: 60 },
    );
  });
});

/** The refusal that the model expects, or what changes in it. */
async function step(registry: Registry, model: Model, one: Call): Promise<void> {
  if (one.verb === 'wait') {
    model.now += one.seconds;
    registry.setTime(model.now);
    return;
  }
  const result = await perform(registry, one);
  const expected = judge(model, one);
  if (expected !== undefined) {
    expect([result.outcome, hexOf(result.output.subarray(0, 4))]).toEqual(['reverted', REGISTRY_ERRORS[expected]]);
    expect(result.logs).toEqual([]);
    return;
  }
  expect(result.outcome).toBe('success');
  expect(result.logs).toHaveLength(1);
  apply(model, one);
}

function perform(registry: Registry, one: Exclude<Call, { verb: 'wait' }>) {
  switch (one.verb) {
    case 'anchor':
      return registry.call(one.from, 'anchor(bytes32,uint64,uint64,bytes32)', one.root, 7n, one.size, rootOf(9));
    case 'setPublisher':
      return registry.call(one.from, 'setPublisher(address,bool)', one.who, one.isAllowed);
    case 'setPaused':
      return registry.call(one.from, 'setPaused(bool)', one.isPaused);
    case 'transferOwnership':
      return registry.call(one.from, 'transferOwnership(address)', one.to ?? rootOf(0));
    case 'acceptOwnership':
      return registry.call(one.from, 'acceptOwnership()');
  }
}

function judge(model: Model, one: Exclude<Call, { verb: 'wait' }>): keyof typeof REGISTRY_ERRORS | undefined {
  switch (one.verb) {
    case 'anchor':
      if (!model.publishers.has(one.from)) return 'NotPublisher';
      if (model.isPaused) return 'WritesPaused';
      if (one.root === rootOf(0)) return 'ZeroRoot';
      return model.entries.has(one.root) ? 'AlreadyAnchored' : undefined;
    case 'acceptOwnership':
      return one.from === model.pending ? undefined : 'NotPendingOwner';
    default:
      return one.from === model.owner ? undefined : 'NotOwner';
  }
}

function apply(model: Model, one: Exclude<Call, { verb: 'wait' }>): void {
  switch (one.verb) {
    case 'anchor':
      model.entries.set(one.root, [model.now, 7n, one.size]);
      break;
    case 'setPublisher':
      if (one.isAllowed) model.publishers.add(one.who);
      else model.publishers.delete(one.who);
      break;
    case 'setPaused':
      model.isPaused = one.isPaused;
      break;
    case 'transferOwnership':
      model.pending = one.to;
      break;
    case 'acceptOwnership':
      model.owner = one.from;
      model.pending = undefined;
      break;
  }
}

async function compare(registry: Registry, model: Model): Promise<void> {
  expect(await registry.read('owner()')).toEqual([BigInt(model.owner)]);
  expect(await registry.read('pendingOwner()')).toEqual([BigInt(model.pending ?? 0)]);
  expect(await registry.read('isPaused()')).toEqual([model.isPaused ? 1n : 0n]);
  for (const one of PEOPLE)
    expect(await registry.read('isPublisher(address)', one)).toEqual([model.publishers.has(one) ? 1n : 0n]);
  for (let n = 0; n <= 5; n++)
    expect(await registry.read('get(bytes32)', rootOf(n))).toEqual(model.entries.get(rootOf(n)) ?? [0n, 0n, 0n]);
}
