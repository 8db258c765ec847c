import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { ProoflineError } from '../../../domain/errors.ts';
import { useAnchorWorld } from '../../../test/support/anchor-world.ts';
import { newLedgerKey, resolveFrom } from '../../../test/support/ledger-keys.ts';
import { until } from '../../../test/support/until.ts';
import { checkSetup } from '../check-setup.ts';
import type { LedgerConfig } from '../ledger-config.ts';
import { createMirrorTransport } from '../mirror-client.ts';
import { createTopic, rotateSubmitKey, type TopicAdmin } from '../topic-admin.ts';

const world = useAnchorWorld();

const check = (changes: Partial<LedgerConfig> = {}, mirrors = world.mirrors) =>
  checkSetup({ config: { ...world.config, ...changes }, keys: resolveFrom(world.keys), mirrors });

/** An account that pays for the ceremony, and three admin keys of which two are needed. */
function ceremony(): { readonly admin: TopicAdmin; readonly all: readonly string[] } {
  const pemOf = ({ privateKey }: ReturnType<typeof newLedgerKey>): string =>
    privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
  const [payer, ...admins] = [newLedgerKey(), newLedgerKey(), newLedgerKey(), newLedgerKey()];
  if (payer === undefined) throw new Error('no key');
  const accountId = world.sim.treasury.createAccount({ publicKey: payer.publicKey, balanceHbar: 100 });
  const all = admins.map(pemOf);
  return { admin: { accountId, accountKey: pemOf(payer), adminKeys: all.slice(0, 2) }, all };
}

describe('the setup', () => {
  it('is right as it stands', async () => {
    expect(await check()).toEqual({ state: 'ok', faults: [], open: [] });
  });

  it.each<[string, () => Partial<LedgerConfig>, RegExp]>([
    ['a topic that is not there', () => ({ topicId: '0.0.999999' }), /there is no topic 0\.0\.999999/],
    [
      'another submit key',
      () => ({ submitKeyRef: 'signer://stranger' }),
      /the submit key of topic .* is not signer:\/\/stranger@1/,
    ],
    ['a topic that anybody may write to', () => ({ topicId: world.sim.treasury.createTopic({}) }), /has no submit key/],
    [
      'another payer key',
      () => ({ payerKeyRef: 'signer://stranger' }),
      /the key of account .* is not signer:\/\/stranger@1/,
    ],
    ['a payer that is not there', () => ({ payerAccountId: '0.0.999999' }), /there is no account/],
    ['a payer with too little', () => ({ maxFeeTinybars: '100000000000' }), /holds \d+ tinybars, less than/],
    ['a network that it is not', () => ({ network: 'mainnet' }), /another network than mainnet/],
    [
      'another public half in the ledger file',
      () => ({ submitKey: '00'.repeat(32) }),
      /submitKey of the ledger file is not/,
    ],
  ])('is refused with %s', async (_what, changes, fault) => {
    // The first block is closed by then.
    world.sim.clock.advance(5_000);
    const { state, faults } = await check(changes());
    expect([state, faults.some((line) => fault.test(line))]).toEqual(['refused', true]);
  });

  it('is refused with a deleted topic and with custom fees', async () => {
    const topic = world.sim.ledger.state.topics.get(world.config.topicId);
    if (topic === undefined) throw new Error('no topic');
    topic.isDeleted = true;
    expect((await check()).faults.join()).toContain('is deleted');
    const priced = world.mirrors.map((mirror) => ({
      ...mirror,
      topic: async (id: string) => {
        const shown = await mirror.topic(id);
        return shown && { ...shown, hasCustomFees: true };
      },
    }));
    expect((await check({}, priced)).faults.join()).toContain('has custom fees');
  });

  it('is unknown while no mirror answers, and known again when one does', async () => {
    await Promise.all([0, 1].map((instance) => world.sim.stopMirror(instance)));
    const away = await check();
    expect([away.state, away.open.length]).toEqual(['unreachable', 2]);
    await world.sim.startMirror(1);
    expect(await check()).toMatchObject({ state: 'ok', open: [expect.stringContaining('did not answer')] });
  });

  it('that is wrong keeps everything from being prepared or first sent, and nothing that is under way', async () => {
    const [first, second] = [await world.newAnchor(1), await world.newAnchor(2)];
    const free = world.worker();
    const key = { ...first, attempt: (await free.prepareAnchor(first)).attempt };
    const refused = world.worker({
      requireSetup: () => {
        throw new ProoflineError('LEDGER_SETUP_INVALID', 'there is no topic');
      },
    });
    await expect(refused.prepareAnchor(second)).rejects.toMatchObject({ code: 'LEDGER_SETUP_INVALID' });
    await expect(refused.submitAnchor(key)).rejects.toMatchObject({ code: 'LEDGER_SETUP_INVALID' });
    expect(world.messages()).toHaveLength(0);
    await free.submitAnchor(key);
    await refused.submitAnchor(key);
    expect(await world.drive(free, first)).toEqual({ attempt: 1, state: 'VERIFIED' });
  });
});

describe('keys', () => {
  it('of a topic are rotated with an overlap in which both write, by two of three admin keys', async () => {
    const { admin, all } = ceremony();
    const keys = resolveFrom(world.keys);
    const [from, to] = [await keys.resolve('signer://submit'), await keys.resolve('signer://next')];
    const memo = 'Proofline checkpoints';
    const topicId = await createTopic(world.config, { ...admin, adminKeys: all, threshold: 2, memo }, from.publicKey);
    const config = { ...world.config, topicId };
    const [mirror] = world.mirrors;
    if (mirror === undefined) throw new Error('no mirror');
    const rotate = (phase: 'overlap' | 'finish', by = admin): Promise<string> =>
      rotateSubmitKey({ config, mirror, admin: by, from, to, phase });
    const anchor = async (size: number, submitKeyRef: string): Promise<string> =>
      (await world.drive(world.worker({ config: { topicId, submitKeyRef } }), await world.newAnchor(size))).state;

    expect(await anchor(1, 'signer://submit')).toBe('VERIFIED');
    await expect(rotate('finish')).rejects.toMatchObject({
      detail: expect.stringContaining('the overlap comes first'),
    });
    await expect(rotate('overlap', { ...admin, adminKeys: all.slice(0, 1) })).rejects.toMatchObject({
      code: 'LEDGER_REJECTED',
      detail: expect.stringContaining('INVALID_SIGNATURE'),
    });
    expect([await rotate('overlap'), await rotate('overlap')]).toEqual(['done', 'already']);
    expect(await check({ topicId })).toMatchObject({ state: 'ok' });
    expect(await check({ topicId, submitKeyRef: 'signer://next' })).toMatchObject({ state: 'ok' });
    expect([await anchor(2, 'signer://submit'), await anchor(3, 'signer://next')]).toEqual(['VERIFIED', 'VERIFIED']);
    expect([await rotate('finish'), await rotate('finish')]).toEqual(['done', 'already']);
    expect(await check({ topicId })).toMatchObject({ state: 'refused' });
    expect(await anchor(4, 'signer://next')).toBe('VERIFIED');
    expect(await anchor(5, 'signer://submit')).toBe('FAILED');
  }, 20_000);
});

describe('nodes', () => {
  it('are learnt anew when the address book changed under a signed transaction, and one message comes of it', async () => {
    const options = { config: { mirrorGrpc: world.sim.mirrorGrpcAddresses } };
    const anchor = await world.newAnchor(1);
    const activities = world.worker(options);
    const { attempt } = await activities.prepareAnchor(anchor);
    for (const [i, node] of Object.values(world.sim.nodes).entries()) world.sim.renameNode(node, `0.0.${70 + i}`);
    const submitted = await activities.submitAnchor({ ...anchor, attempt }).catch((error) => error);
    expect(['LEDGER_UNAVAILABLE', 'SENT']).toContain(submitted.code ?? submitted.state);
    world.sim.clock.advance(125_000);
    expect(await world.drive(activities, anchor)).toEqual({ attempt: 2, state: 'VERIFIED' });
    expect(world.messages()).toHaveLength(1);
  });

  it('are learnt anew by the clock', async () => {
    const ledger = world.ledger({ config: { mirrorGrpc: world.sim.mirrorGrpcAddresses, addressBookRefreshMs: 100 } });
    for (const [i, node] of Object.values(world.sim.nodes).entries()) world.sim.renameNode(node, `0.0.${70 + i}`);
    const prepared = async () => (await ledger.prepare('pl1|x')).nodes;
    const nodes = await until(prepared, (ids) => ids.includes('0.0.70'));
    expect([...nodes].sort()).toEqual(['0.0.70', '0.0.71', '0.0.72']);
    expect((await ledger.submit(await ledger.prepare('pl1|x'))).status).toBe('OK');
  });

  it('stay as they are known while no mirror tells the address book', async () => {
    const mirror = createServer((socket) => socket.destroy())
      .listen(0, '127.0.0.1')
      .unref();
    await once(mirror, 'listening');
    const { port } = mirror.address() as AddressInfo;
    const ledger = world.ledger({ config: { mirrorGrpc: [`127.0.0.1:${port}`], addressBookRefreshMs: 50 } });
    // It is being asked; what is prepared now waits until that has come to nothing.
    await once(mirror, 'connection');
    expect((await ledger.submit(await ledger.prepare('pl1|x'))).status).toBe('OK');
    mirror.close();
  });

  it('are reached on the TLS port, and stay there when they are learnt anew', async () => {
    const activities = world.worker({
      config: { nodes: world.sim.tlsNodes, mirrorGrpc: world.sim.mirrorGrpcAddresses, addressBookRefreshMs: 200 },
    });
    expect(await world.drive(activities, await world.newAnchor(1))).toEqual({ attempt: 1, state: 'VERIFIED' });
    const methods = () => world.sim.calls.map(({ method }) => method);
    await until(methods, (names) => names.some((name) => /getNodes/.test(name)));
    expect(await world.drive(activities, await world.newAnchor(2))).toEqual({ attempt: 1, state: 'VERIFIED' });
  });

  it('are not needed to know that mirrors are away', async () => {
    const transport = createMirrorTransport(200);
    const gone = transport.mirror('http://127.0.0.1:1');
    expect((await check({}, [gone])).state).toBe('unreachable');
    transport.close();
  });
});
