// A client of the log that shares no code with us: torchwood and golang.org/x/mod/sumdb. Reads from standard input
// {base, vkey, earlier?, receipts: [{leaf, text}]}; fetches and authenticates the newest checkpoint and every entry,
// checks that it extends the earlier checkpoint, and each tlog-proof; writes {size, entries} or fails.
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type input struct {
	Base     string
	Vkey     string
	Earlier  string
	Receipts []struct{ Leaf, Text string }
}

type output struct {
	Size    int64    `json:"size"`
	Entries []string `json:"entries"`
}

func main() {
	log.SetFlags(0)
	var in input
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		log.Fatal(err)
	}
	out, err := check(context.Background(), in)
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		log.Fatal(err)
	}
}

func check(ctx context.Context, in input) (*output, error) {
	verifier, err := note.NewVerifier(in.Vkey)
	if err != nil {
		return nil, err
	}
	origin := strings.SplitN(in.Vkey, "+", 2)[0]
	policy := torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(origin), torchwood.SingleVerifierPolicy(verifier))
	tiles, err := torchwood.NewTileFetcher(in.Base)
	if err != nil {
		return nil, err
	}
	signed, err := tiles.ReadEndpoint(ctx, "checkpoint")
	if err != nil {
		return nil, err
	}
	checkpoint, _, err := torchwood.VerifyCheckpoint(signed, policy)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	if in.Earlier != "" {
		if err := checkConsistency(ctx, tiles, in.Earlier, checkpoint, policy); err != nil {
			return nil, fmt.Errorf("consistency: %w", err)
		}
	}
	for i, receipt := range in.Receipts {
		leaf, err := hex.DecodeString(receipt.Leaf)
		if err != nil {
			return nil, err
		}
		if err := torchwood.VerifyProof(policy, tlog.RecordHash(leaf), []byte(receipt.Text)); err != nil {
			return nil, fmt.Errorf("receipt %d: %w", i, err)
		}
	}
	client, err := torchwood.NewClient(tiles)
	if err != nil {
		return nil, err
	}
	entries := []string{}
	for _, entry := range client.AllEntries(ctx, checkpoint.Tree, 0) {
		entries = append(entries, hex.EncodeToString(entry))
	}
	return &output{checkpoint.N, entries}, client.Err()
}

func checkConsistency(ctx context.Context, tiles torchwood.TileReader, earlier string, now torchwood.Checkpoint, policy torchwood.Policy) error {
	before, _, err := torchwood.VerifyCheckpoint([]byte(earlier), policy)
	if err != nil {
		return err
	}
	hashes := torchwood.TileHashReaderWithContext(ctx, now.Tree, tiles)
	proof, err := tlog.ProveTree(now.N, before.N, hashes)
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, now.N, now.Hash, before.N, before.Hash)
}
