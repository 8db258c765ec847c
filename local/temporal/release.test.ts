import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { CLI_VERSION, hasServerNewEnough, releaseArchive } from './release.ts';

describe('the pinned release', () => {
  it('is the same for the archives and for the Go build', () => {
    const goMod = readFileSync(new URL('./build/go.mod', import.meta.url), 'utf8');
    expect(goMod).toContain(`require github.com/temporalio/cli v${CLI_VERSION}\n`);
    expect(releaseArchive('linux-x64')?.url).toContain(
      `/v${CLI_VERSION}/temporal_cli_${CLI_VERSION}_linux_amd64.tar.gz`,
    );
  });

  it('has no archive for a platform without a pinned checksum', () => {
    expect(releaseArchive('sunos-x64')).toBeUndefined();
    for (const platform of ['linux-x64', 'linux-arm64', 'darwin-x64', 'darwin-arm64']) {
      expect(releaseArchive(platform)?.sha256).toMatch(/^[0-9a-f]{64}$/);
    }
  });

  it.each([
    ['temporal version 1.8.2 (Server 1.31.2, UI 2.50.1)', true],
    ['temporal version 0.0.0-DEV (Server 1.31.0, UI 2.50.1)', true],
    ['temporal version 2.0.0 (Server 2.0.0, UI 3.0.0)', true],
    ['temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)', false],
    ['something else', false],
  ])('judges a found program by its server: %s', (output, expected) => {
    expect(hasServerNewEnough(output)).toBe(expected);
  });
});
