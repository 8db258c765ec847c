// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Checkpoint registry
/// @notice Records when the root of a transparency log's checkpoint was published, once and for ever.
/// @dev One packed slot and one event per root. Publishers (hot keys) may only anchor; the owner (cold key) appoints
/// them, pauses writes and hands ownership over in two steps. Reads never stop. No proxy: another contract replaces
/// this one. No function is payable and there is no receive function, so it holds no funds.
contract CheckpointRegistry {
    /// @dev 192 of 256 bits: one slot. `anchoredAt` is never 0 for a root that is here.
    struct Entry {
        uint64 anchoredAt;
        uint64 originId;
        uint64 treeSize;
    }

    error AlreadyAnchored(bytes32 root, uint64 anchoredAt);
    error NotOwner(address caller);
    error NotPendingOwner(address caller);
    error NotPublisher(address caller);
    error WritesPaused();
    error ZeroOwner();
    error ZeroRoot();

    /// @param root root of the checkpoint's tree, RFC 6962
    /// @param originId first 64 bits of SHA-256 of the log's origin
    /// @param treeSize number of leaves under the root
    /// @param meta SHA-256 of the anchor message `pl1|<origin id>|<size>|<root>`, so that the event binds its format
    event Anchored(
        bytes32 indexed root, uint64 indexed originId, address indexed publisher, uint64 treeSize, bytes32 meta
    );
    event PublisherSet(address indexed publisher, bool isAllowed);
    event PauseSet(bool isPaused);
    event OwnershipTransferStarted(address indexed owner, address indexed pendingOwner);
    event OwnershipTransferred(address indexed previousOwner, address indexed owner);

    address public owner;
    address public pendingOwner;
    bool public isPaused;
    mapping(address => bool) public isPublisher;
    mapping(bytes32 => Entry) private entries;

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner(msg.sender);
        _;
    }

    /// @param firstOwner the cold account, which need not be the one that deploys
    /// @param firstPublisher the hot account; the zero address appoints none
    constructor(address firstOwner, address firstPublisher) {
        if (firstOwner == address(0)) revert ZeroOwner();
        owner = firstOwner;
        emit OwnershipTransferred(address(0), firstOwner);
        if (firstPublisher != address(0)) {
            isPublisher[firstPublisher] = true;
            emit PublisherSet(firstPublisher, true);
        }
    }

    /// @notice Publishes a root. A root is published once: a repeat reverts and says when the first one was.
    function anchor(bytes32 root, uint64 originId, uint64 treeSize, bytes32 meta) external {
        if (!isPublisher[msg.sender]) revert NotPublisher(msg.sender);
        if (isPaused) revert WritesPaused();
        if (root == bytes32(0)) revert ZeroRoot();
        uint64 anchoredAt = entries[root].anchoredAt;
        if (anchoredAt != 0) revert AlreadyAnchored(root, anchoredAt);
        entries[root] = Entry(uint64(block.timestamp), originId, treeSize);
        emit Anchored(root, originId, msg.sender, treeSize, meta);
    }

    /// @notice What is known of a root; all zero for one that was never published. Works while writes are paused.
    function get(bytes32 root) external view returns (uint64 anchoredAt, uint64 originId, uint64 treeSize) {
        Entry storage entry = entries[root];
        return (entry.anchoredAt, entry.originId, entry.treeSize);
    }

    function setPublisher(address publisher, bool isAllowed) external onlyOwner {
        isPublisher[publisher] = isAllowed;
        emit PublisherSet(publisher, isAllowed);
    }

    function setPaused(bool paused) external onlyOwner {
        isPaused = paused;
        emit PauseSet(paused);
    }

    /// @notice Offers ownership; the zero address withdraws an offer. Nothing changes before it is accepted.
    function transferOwnership(address to) external onlyOwner {
        pendingOwner = to;
        emit OwnershipTransferStarted(owner, to);
    }

    function acceptOwnership() external {
        if (msg.sender != pendingOwner) revert NotPendingOwner(msg.sender);
        emit OwnershipTransferred(owner, msg.sender);
        owner = msg.sender;
        delete pendingOwner;
    }
}
