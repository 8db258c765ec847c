/**
 * The one release of the Temporal CLI (which holds the development server and its UI) that this repository runs.
 * `build/go.mod` pins the same release for `go build`.
 */
export const CLI_VERSION = '1.8.2';

/** The oldest server version, `major.minor`, that a `temporal` found on PATH may hold. */
export const OLDEST_SERVER = '1.31';

export interface ReleaseArchive {
  readonly url: string;
  /** SHA-256 in lower-case hex, as in the release's checksums.txt. */
  readonly sha256: string;
}

const RELEASES = `https://github.com/temporalio/cli/releases/download/v${CLI_VERSION}`;

/** By `${process.platform}-${process.arch}`. A platform that is not here has no archive that we would run. */
const ARCHIVES: Readonly<Record<string, readonly [name: string, sha256: string]>> = {
  'linux-x64': ['linux_amd64', 'd8421bda989e6514b4bdb4d63a9012a8a05a806892e881a5aad8510496349a94'],
  'linux-arm64': ['linux_arm64', '83600a8fac6e3da54093e5da6918d399f501532b9f1172235603f9606f4ac6e4'],
  'darwin-x64': ['darwin_amd64', '489d7f5420cae02b559774ac23df035141954c33a51dba96f5759a0ddccdf1b6'],
  'darwin-arm64': ['darwin_arm64', 'dacdc3587682c04cf27e67c8878ca2d755230b6ad63c0c6ebddd7348ae90ed94'],
};

/** Undefined where no archive is pinned for the platform. */
export function releaseArchive(platform: string): ReleaseArchive | undefined {
  const entry = ARCHIVES[platform];
  if (entry === undefined) return undefined;
  return { url: `${RELEASES}/temporal_cli_${CLI_VERSION}_${entry[0]}.tar.gz`, sha256: entry[1] };
}

/** True if `--version` output, e.g. `temporal version 1.8.2 (Server 1.31.2, UI 2.50.1)`, names a server new enough. */
export function hasServerNewEnough(versionOutput: string): boolean {
  const found = /Server (\d+)\.(\d+)\./.exec(versionOutput);
  if (found === null) return false;
  const [major, minor] = OLDEST_SERVER.split('.').map(Number);
  const [foundMajor, foundMinor] = [Number(found[1]), Number(found[2])];
  return foundMajor > (major ?? 0) || (foundMajor === major && foundMinor >= (minor ?? 0));
}
