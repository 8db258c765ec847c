/**
 * Jest runs the TypeScript sources as ESM; swc strips the types, `tsc` checks them. `*.test.ts` needs no server;
 * `*.it.test.ts` and what lies in test/ get one Postgres and one Temporal server, started once for the run.
 */
const shared = {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      { jsc: { target: 'es2024', parser: { syntax: 'typescript' } }, module: { type: 'es6' } },
    ],
  },
};
const never = ['/node_modules/', '/.proofline/'];

export default {
  testTimeout: 30_000,
  projects: [
    {
      ...shared,
      displayName: 'unit',
      testMatch: ['**/*.test.ts'],
      testPathIgnorePatterns: [...never, '\\.it\\.test\\.ts$', '<rootDir>/test/(?!support/)'],
    },
    {
      ...shared,
      displayName: 'integration',
      testMatch: ['**/*.it.test.ts', '<rootDir>/test/**/*.test.ts'],
      testPathIgnorePatterns: [
        ...never,
        '<rootDir>/test/support/.*(?<!\\.it)\\.test\\.ts$',
        '<rootDir>/test/(?:e2e|motion|judges)/.*(?<!\\.it)\\.test\\.ts$',
      ],
      globalSetup: '<rootDir>/test/support/start-servers.ts',
      globalTeardown: '<rootDir>/test/support/stop-servers.ts',
    },
    {
      ...shared,
      displayName: 'judges',
      testMatch: ['<rootDir>/test/judges/**/*.test.ts'],
      testPathIgnorePatterns: never,
    },
    {
      ...shared,
      displayName: 'e2e',
      testMatch: ['<rootDir>/test/{e2e,motion}/**/*.test.ts'],
      testPathIgnorePatterns: [...never, '\\.it\\.test\\.ts$'],
    },
  ],
};
