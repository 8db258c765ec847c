/**
 * Every method of the network's public services, and what it takes: a transaction or a query. Those that are not handled
 * answer NOT_SUPPORTED; none hangs, none is unknown to gRPC.
 */
export type CallKind = 'transaction' | 'query';

const TRANSACTIONS: Readonly<Record<string, readonly string[]>> = {
  AddressBookService: [
    'createNode',
    'deleteNode',
    'updateNode',
    'createRegisteredNode',
    'deleteRegisteredNode',
    'updateRegisteredNode',
  ],
  ConsensusService: ['createTopic', 'updateTopic', 'deleteTopic', 'submitMessage'],
  CryptoService: [
    'createAccount',
    'updateAccount',
    'cryptoTransfer',
    'cryptoDelete',
    'approveAllowances',
    'deleteAllowances',
    'addLiveHash',
    'deleteLiveHash',
  ],
  FileService: ['createFile', 'updateFile', 'deleteFile', 'appendContent', 'systemDelete', 'systemUndelete'],
  FreezeService: ['freeze'],
  NetworkService: ['uncheckedSubmit'],
  ScheduleService: ['createSchedule', 'signSchedule', 'deleteSchedule'],
  SmartContractService: [
    'createContract',
    'updateContract',
    'contractCallMethod',
    'deleteContract',
    'systemDelete',
    'systemUndelete',
    'callEthereum',
    'hookStore',
  ],
  TokenService: [
    'createToken',
    'updateToken',
    'mintToken',
    'burnToken',
    'deleteToken',
    'wipeTokenAccount',
    'freezeTokenAccount',
    'unfreezeTokenAccount',
    'grantKycToTokenAccount',
    'revokeKycFromTokenAccount',
    'associateTokens',
    'dissociateTokens',
    'updateTokenFeeSchedule',
    'pauseToken',
    'unpauseToken',
    'updateNfts',
    'rejectToken',
    'airdropTokens',
    'cancelAirdrop',
    'claimAirdrop',
  ],
  UtilService: ['prng', 'atomicBatch'],
};

const QUERIES: Readonly<Record<string, readonly string[]>> = {
  ConsensusService: ['getTopicInfo'],
  CryptoService: [
    'getTransactionReceipts',
    'getTxRecordByTxID',
    'getAccountInfo',
    'cryptoGetBalance',
    'getAccountRecords',
    'getLiveHash',
  ],
  FileService: ['getFileContent', 'getFileInfo'],
  NetworkService: ['getVersionInfo', 'getAccountDetails', 'getExecutionTime'],
  ScheduleService: ['getScheduleInfo'],
  SmartContractService: [
    'contractCallLocalMethod',
    'getContractInfo',
    'contractGetBytecode',
    'getBySolidityID',
    'getTxRecordByContractID',
  ],
  TokenService: ['getTokenInfo', 'getTokenNftInfo'],
};

export const SERVICES: ReadonlyMap<string, ReadonlyMap<string, CallKind>> = new Map(
  [...new Set([...Object.keys(TRANSACTIONS), ...Object.keys(QUERIES)])].map((service) => [
    service,
    new Map<string, CallKind>([
      ...(TRANSACTIONS[service] ?? []).map((method) => [method, 'transaction'] as const),
      ...(QUERIES[service] ?? []).map((method) => [method, 'query'] as const),
    ]),
  ]),
);
