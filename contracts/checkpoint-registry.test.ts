import { beforeEach, describe, expect, it } from '@jest/globals';
import { keccak_256 } from '@noble/hashes/sha3.js';
import { buildAnchorMessage, originId } from '../domain/ledger/anchor-message.ts';
import {
  ANCHORED_TOPIC,
  decodeAlreadyAnchored,
  decodeGet,
  encodeAnchorCall,
  encodeGetCall,
  eventDataOf,
  nameRegistryError,
  REGISTRY_ERRORS,
  REGISTRY_SELECTORS,
  registryEntryOf,
  topicsOf,
} from '../domain/ledger/checkpoint-registry.ts';
import { readArtefact } from './compile.ts';
import {
  deployRegistry,
  hexOf,
  logOf,
  OWNER,
  PUBLISHER,
  type Registry,
  refusalOf,
  rootOf,
  START,
  STRANGER,
} from './test-registry.ts';

const ANCHOR = 'anchor(bytes32,uint64,uint64,bytes32)';
const META = rootOf(99);
const refused = (name: keyof typeof REGISTRY_ERRORS, ...words: bigint[]) => ({
  outcome: 'reverted',
  selector: REGISTRY_ERRORS[name],
  words,
});

let registry: Registry;
const anchor = (root = rootOf(1), from = PUBLISHER) => registry.call(from, ANCHOR, root, 7n, 42n, META);

beforeEach(async () => {
  registry = await deployRegistry();
});

describe('anchoring a root', () => {
  it('keeps its second, origin and size for everybody to read, and tells of it in one event', async () => {
    const result = await anchor();
    expect(result.outcome).toBe('success');
    expect(result.logs.map(logOf)).toEqual([
      {
        topics: [ANCHORED_TOPIC, rootOf(1), rootOf(7), rootOf(Number(PUBLISHER))],
        data: `${rootOf(42)}${META.slice(2)}`,
      },
    ]);
    expect(await registry.read('get(bytes32)', rootOf(1))).toEqual([START, 7n, 42n]);
  });

  it('shows nothing for a root that was never published', async () => {
    expect(await registry.read('get(bytes32)', rootOf(2))).toEqual([0n, 0n, 0n]);
  });

  it('refuses a root a second time, says when the first was, and keeps what stands', async () => {
    await anchor();
    registry.setTime(START + 60n);
    const again = await registry.call(PUBLISHER, ANCHOR, rootOf(1), 8n, 43n, META);
    expect(refusalOf(again)).toEqual(refused('AlreadyAnchored', 1n, START));
    expect(again.logs).toEqual([]);
    expect(await registry.read('get(bytes32)', rootOf(1))).toEqual([START, 7n, 42n]);
  });

  it('refuses the root of nothing', async () => {
    expect(refusalOf(await anchor(rootOf(0)))).toEqual(refused('ZeroRoot'));
  });

  it.each([
    ['a stranger', STRANGER],
    ['the owner', OWNER],
  ])('is not for %s', async (_, who) => {
    expect(refusalOf(await anchor(rootOf(1), who))).toEqual(refused('NotPublisher', BigInt(who)));
    expect(await registry.read('get(bytes32)', rootOf(1))).toEqual([0n, 0n, 0n]);
  });

  it('takes the largest origin and size', async () => {
    const max = 2n ** 64n - 1n;
    await registry.call(PUBLISHER, ANCHOR, rootOf(1), max, max, META);
    expect(await registry.read('get(bytes32)', rootOf(1))).toEqual([START, max, max]);
  });

  it('refuses a size beyond 64 bits, and calldata that is too short', async () => {
    expect((await registry.call(PUBLISHER, ANCHOR, rootOf(1), 7n, 2n ** 64n, META)).outcome).toBe('reverted');
    expect((await registry.call(PUBLISHER, ANCHOR, rootOf(1), 7n)).outcome).toBe('reverted');
  });
});

describe('publishers', () => {
  it('are appointed and dismissed by the owner alone', async () => {
    expect((await registry.call(OWNER, 'setPublisher(address,bool)', STRANGER, true)).outcome).toBe('success');
    expect((await anchor(rootOf(1), STRANGER)).outcome).toBe('success');
    await registry.call(OWNER, 'setPublisher(address,bool)', STRANGER, false);
    expect(refusalOf(await anchor(rootOf(2), STRANGER))).toEqual(refused('NotPublisher', BigInt(STRANGER)));
    for (const who of [PUBLISHER, STRANGER]) {
      const refusal = refusalOf(await registry.call(who, 'setPublisher(address,bool)', who, true));
      expect(refusal).toEqual(refused('NotOwner', BigInt(who)));
    }
  });

  it('need not be there at deployment', async () => {
    registry = await deployRegistry(OWNER, rootOf(0));
    expect(refusalOf(await anchor())).toEqual(refused('NotPublisher', BigInt(PUBLISHER)));
  });
});

describe('a pause', () => {
  it('stops writes, never reads, until the owner ends it', async () => {
    await anchor();
    await registry.call(OWNER, 'setPaused(bool)', true);
    expect(refusalOf(await anchor(rootOf(2)))).toEqual(refused('WritesPaused'));
    expect(await registry.read('get(bytes32)', rootOf(1))).toEqual([START, 7n, 42n]);
    expect(await registry.read('isPaused()')).toEqual([1n]);
    await registry.call(OWNER, 'setPaused(bool)', false);
    expect((await anchor(rootOf(2))).outcome).toBe('success');
  });

  it('leaves the owner its rights', async () => {
    await registry.call(OWNER, 'setPaused(bool)', true);
    expect((await registry.call(OWNER, 'setPublisher(address,bool)', PUBLISHER, false)).outcome).toBe('success');
    expect((await registry.call(OWNER, 'transferOwnership(address)', STRANGER)).outcome).toBe('success');
  });

  it('is not for publishers', async () => {
    const refusal = refusalOf(await registry.call(PUBLISHER, 'setPaused(bool)', true));
    expect(refusal).toEqual(refused('NotOwner', BigInt(PUBLISHER)));
  });
});

describe('ownership', () => {
  it('changes only when the new owner accepts', async () => {
    await registry.call(OWNER, 'transferOwnership(address)', STRANGER);
    expect(await registry.read('owner()')).toEqual([BigInt(OWNER)]);
    expect(await registry.read('pendingOwner()')).toEqual([BigInt(STRANGER)]);
    expect((await registry.call(STRANGER, 'acceptOwnership()')).outcome).toBe('success');
    expect(await registry.read('owner()')).toEqual([BigInt(STRANGER)]);
    expect(await registry.read('pendingOwner()')).toEqual([0n]);
    expect(refusalOf(await registry.call(OWNER, 'setPaused(bool)', true))).toEqual(refused('NotOwner', BigInt(OWNER)));
  });

  it('is accepted by nobody else, and by nobody while none is offered', async () => {
    const strange = refused('NotPendingOwner', BigInt(STRANGER));
    expect(refusalOf(await registry.call(STRANGER, 'acceptOwnership()'))).toEqual(strange);
    await registry.call(OWNER, 'transferOwnership(address)', PUBLISHER);
    expect(refusalOf(await registry.call(STRANGER, 'acceptOwnership()'))).toEqual(strange);
  });

  it('is not handed over any more once the offer is withdrawn', async () => {
    await registry.call(OWNER, 'transferOwnership(address)', STRANGER);
    await registry.call(OWNER, 'transferOwnership(address)', rootOf(0));
    expect(refusalOf(await registry.call(STRANGER, 'acceptOwnership()'))).toEqual(
      refused('NotPendingOwner', BigInt(STRANGER)),
    );
  });

  it('is offered by the owner alone', async () => {
    expect(refusalOf(await registry.call(PUBLISHER, 'transferOwnership(address)', PUBLISHER))).toEqual(
      refused('NotOwner', BigInt(PUBLISHER)),
    );
  });

  it('is never with nobody: the contract is not deployed without an owner', async () => {
    const { creation } = await deployRegistry(rootOf(0));
    expect(refusalOf(creation)).toEqual(refused('ZeroOwner'));
  });
});

describe('the contract', () => {
  it('takes no hbar, by whatever call', async () => {
    const call = Buffer.from(encodeAnchorCall(entry()).slice(2), 'hex');
    for (const input of [call, new Uint8Array(), Buffer.from('deadbeef', 'hex')]) {
      expect((await registry.send(PUBLISHER, input, 1n)).outcome).toBe('reverted');
    }
    expect((await registry.send(PUBLISHER, new Uint8Array(), 0n)).outcome).toBe('reverted');
  });

  it('has no function that is payable, and no way in beside its functions', () => {
    const { abi } = readArtefact();
    const members = abi as readonly { readonly type: string; readonly stateMutability?: string }[];
    expect(members.filter(({ stateMutability }) => stateMutability === 'payable')).toEqual([]);
    expect(members.filter(({ type }) => type === 'fallback' || type === 'receive')).toEqual([]);
  });
});

describe('the interface in domain/', () => {
  it('has the selectors, errors and event of the compiled contract', () => {
    const { abi, methods } = readArtefact();
    const bySelector = Object.fromEntries(
      Object.entries(methods).map(([name, hex]) => [name.split('(')[0], `0x${hex}`]),
    );
    expect(bySelector).toMatchObject(REGISTRY_SELECTORS);
    const signatures = (
      abi as readonly {
        readonly type: string;
        readonly name?: string;
        readonly inputs?: readonly { readonly type: string }[];
      }[]
    ).map((one) => ({ ...one, signature: `${one.name}(${(one.inputs ?? []).map(({ type }) => type).join(',')})` }));
    const hash = (text: string) => hexOf(keccak_256(new TextEncoder().encode(text)));
    const errors = signatures.filter(({ type }) => type === 'error');
    expect(Object.fromEntries(errors.map(({ name, signature }) => [name, hash(signature).slice(0, 10)]))).toEqual(
      REGISTRY_ERRORS,
    );
    expect(signatures.find(({ name }) => name === 'Anchored')?.signature).toBe(
      'Anchored(bytes32,uint64,address,uint64,bytes32)',
    );
    expect(hash('Anchored(bytes32,uint64,address,uint64,bytes32)')).toBe(ANCHORED_TOPIC);
  });

  it('writes the call, and reads the event, the entry and the refusal of the contract', async () => {
    const one = entry();
    expect(one.originId).toBe(BigInt(`0x${originId('log.example/one')}`));
    const call = Buffer.from(encodeAnchorCall(one).slice(2), 'hex');
    const [log] = (await registry.send(PUBLISHER, call)).logs.map(logOf);
    expect(log).toEqual({ topics: topicsOf(one, PUBLISHER), data: eventDataOf(one) });
    const got = await registry.send(STRANGER, Buffer.from(encodeGetCall(one.root).slice(2), 'hex'));
    expect(decodeGet(hexOf(got.output))).toEqual({ anchoredAt: START, originId: one.originId, treeSize: one.treeSize });
    const refusal = hexOf((await registry.send(PUBLISHER, call)).output);
    expect(decodeAlreadyAnchored(refusal)).toEqual({ root: one.root, anchoredAt: START });
    expect(nameRegistryError(refusal)).toBe('AlreadyAnchored');
  });

  it.each(['', '0x', 'AlreadyAnchored', `${REGISTRY_ERRORS.AlreadyAnchored}00`, REGISTRY_ERRORS.ZeroRoot])(
    'reads no date from %j',
    (text) => {
      expect(decodeAlreadyAnchored(text)).toBeUndefined();
    },
  );
});

function entry() {
  const root = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
  const found = registryEntryOf(buildAnchorMessage({ origin: 'log.example/one', size: 42n, root }));
  if (found === undefined) throw new Error('no entry of our own message');
  return found;
}
