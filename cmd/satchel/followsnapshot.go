package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"satchel/chain"
	"satchel/crypto"
)

// importSnapshot makes the index from a snapshot.
func (a *app) importSnapshot(ctx context.Context, f *followArgs, rules *chain.Params) error {
	o := chain.ImportOptions{Progress: a.progress()}
	if f.signer != "" {
		b, err := hex.DecodeString(f.signer)
		if err != nil || len(b) != 32 {
			return usagef("--signer %s: want 64 hex digits, as --export tells them", f.signer)
		}
		o.Signers = [][32]byte{[32]byte(b)}
	}
	if f.trust != "" {
		b, err := hex.DecodeString(f.trust)
		if err != nil || len(b) != 16 {
			return usagef("--trust %s: want a consensus hash of 32 hex digits", f.trust)
		}
		o.Trust = (*[16]byte)(b)
	}
	info, err := chain.Import(ctx, f.importFrom, f.index, rules, o)
	if errors.Is(err, chain.ErrSigner) {
		return failf(exitChain, "%s: %w; if you believe that signer give --signer %x, or --trust with the consensus hash of its last block from elsewhere",
			f.importFrom, err, info.Signer)
	}
	if err != nil {
		return coded(exitChain, err)
	}
	fmt.Fprintf(a.err, "imported up to block %d, consensus hash %x, signed by %x\n", info.Height, info.Consensus, info.Signer)
	if o.Trust == nil {
		fmt.Fprintln(a.err, "that senders of operations are who they are is the word of that signer; compare the consensus hash with somebody else's")
	}
	return nil
}

// progress tells how far something is, now and then.
func (a *app) progress() func(height, of int) {
	said := time.Now()
	return func(height, of int) {
		if time.Since(said) >= saidEvery {
			said = time.Now()
			fmt.Fprintf(a.err, "block %d of %d\n", height, of)
		}
	}
}

// exportSnapshot writes a snapshot, signed with the home's owner key.
func (a *app) exportSnapshot(path string, keys *crypto.Keystore, index *chain.Index) (err error) {
	out, err := os.CreateTemp(filepath.Dir(path), ".snapshot-*")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	w := bufio.NewWriterSize(out, 1<<20)
	info, err := chain.Export(index, w, keys.Owner)
	if err = errors.Join(err, w.Flush(), out.Chmod(0o644), out.Sync(), out.Close()); err != nil {
		return err
	}
	if err := os.Rename(out.Name(), path); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "snapshot       %s\nblock          %d %v\nconsensus hash %x\nsigner         %x\n", path, info.Height, info.Hash, info.Consensus, info.Signer)
	return nil
}

// snapshotKeys returns the keystore whose owner key signs snapshots.
func (a *app) snapshotKeys(h *home) (*crypto.Keystore, error) {
	if !h.exists() {
		return nil, failf(exitNoHome, "a snapshot is signed with the owner key of a home, and %s has no identity; make one with `satchel %sinit NAME`", h.name(), h.hint())
	}
	pass, err := a.passphrase(false)
	if err != nil {
		return nil, err
	}
	defer clear(pass)
	keys, err := crypto.OpenKeystore(h.keystore(), pass)
	if err == nil && keys.Owner == nil {
		err = failf(exitName, "the keystore holds no owner key, only the words do, so it can't sign a snapshot")
	}
	return keys, err
}
