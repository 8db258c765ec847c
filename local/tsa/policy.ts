/** The policy of the local authority, under the arc for examples (RFC 5612 enterprise 32473): it promises nothing. */
export const LOCAL_TSA_POLICY = '1.3.6.1.4.1.32473.1.1';
