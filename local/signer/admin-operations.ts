/** Changes of keys, for callers who are administrators; each is logged with who asked. One at a time. */
import { rotateKey, withdrawVersion } from './admin.ts';
import { type OperationDeps, type SigningRequest, toJson } from './operation.ts';
import { SignerProblem } from './problem.ts';
import { parseRotateBody, parseWithdrawBody } from './read-body.ts';

let turn: Promise<unknown> = Promise.resolve();

/** Makes the next version of a key. Repeatable: `after` names the version that it is to follow. */
export function rotate(deps: OperationDeps, request: SigningRequest): Promise<Buffer> {
  const { after, announceMs, overlapMs } = parseRotateBody(request.value);
  return change(deps, request, async () => {
    const next = await rotateKey(
      deps.dir,
      request.kid,
      deps.clock,
      {
        after,
        ...(announceMs === undefined ? {} : { announceMs }),
        ...(overlapMs === undefined ? {} : { overlapMs }),
      },
      deps.token,
    );
    return { version: next.version, activateAt: next.activateAt };
  });
}

/** Takes a version out of use. Repeatable. */
export function withdraw(deps: OperationDeps, request: SigningRequest): Promise<Buffer> {
  const { version, state, at } = parseWithdrawBody(request.value, deps.clock.nowMs());
  return change(deps, request, async () => {
    await withdrawVersion(deps.dir, request.kid, version, state, deps.clock, at);
    return { version, state, at };
  });
}

async function change(
  { ring, log }: OperationDeps,
  { caller, kid, verb }: SigningRequest,
  make: () => Promise<Readonly<Record<string, unknown>>>,
): Promise<Buffer> {
  if (caller.admin !== true) throw new SignerProblem('client_not_allowed', `${caller.name} may not change keys`);
  ring.purposeOf(kid);
  const mine = turn.then(make);
  turn = mine.catch(() => undefined);
  const done = await mine;
  await ring.refresh('now');
  log({ event: 'key-changed', by: caller.name, kid, verb, ...done });
  return toJson(ring.describe(kid));
}
