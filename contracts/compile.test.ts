import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { compile, readArtefact, readSource, readStandardInput, standardInputOf } from './compile.ts';
import { deployRegistry, hexOf, OWNER, PUBLISHER, rootOf } from './test-registry.ts';

const GAS_FILE = new URL('./gas.json', import.meta.url);

describe('the compiled contract', () => {
  it('is the same byte for byte when it is compiled again from the committed input', () => {
    expect(compile(readStandardInput())).toEqual(readArtefact());
  });

  it('comes from the source that lies beside it', () => {
    expect(readStandardInput()).toEqual(standardInputOf(readSource()));
  });

  it('is put together as pinned: Cancun, optimiser with 200 runs', () => {
    const { settings, compiler } = JSON.parse(readArtefact().metadata) as {
      settings: Record<string, unknown>;
      compiler: { version: string };
    };
    expect(settings).toMatchObject({ evmVersion: 'cancun', optimizer: { enabled: true, runs: 200 } });
    expect(compiler.version).toBe(readArtefact().compiler);
  });

  it('fits into one transaction with its arguments', () => {
    expect(readArtefact().bytecode.length / 2 + 64).toBeLessThan(5_000);
  });

  it('leaves the code that the artefact names', async () => {
    const { creation } = await deployRegistry();
    expect(hexOf(creation.output)).toBe(`0x${readArtefact().deployedBytecode}`);
  });

  // `PROOFLINE_WRITE_GAS=1` writes the file anew.
  it('uses the gas that gas.json says', async () => {
    const registry = await deployRegistry();
    const gasOf = async (...call: Parameters<typeof registry.call>) => Number((await registry.call(...call)).gasUsed);
    const anchor = (n: number) =>
      gasOf(PUBLISHER, 'anchor(bytes32,uint64,uint64,bytes32)', rootOf(n), 7n, 42n, rootOf(9));
    const gas = {
      deploy: Number(registry.creation.gasUsed),
      anchor: await anchor(1),
      anchorAgain: await anchor(1),
      setPublisher: await gasOf(OWNER, 'setPublisher(address,bool)', PUBLISHER, false),
      setPaused: await gasOf(OWNER, 'setPaused(bool)', true),
      transferOwnership: await gasOf(OWNER, 'transferOwnership(address)', PUBLISHER),
      acceptOwnership: await gasOf(PUBLISHER, 'acceptOwnership()'),
    };
    if (process.env.PROOFLINE_WRITE_GAS === '1') writeFileSync(GAS_FILE, `${JSON.stringify(gas, undefined, 2)}\n`);
    expect(gas).toEqual(JSON.parse(readFileSync(GAS_FILE, 'utf8')));
  });
});
